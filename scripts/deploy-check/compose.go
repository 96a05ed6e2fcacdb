package main

import (
	"context"
	"encoding/json"

	"github.com/compose-spec/compose-go/v2/cli"
)

// compose loads a compose file as `docker compose --profile '*' config` does, with nothing but its own defaults in the
// environment.
func compose(path string) (any, error) {
	options, err := cli.NewProjectOptions([]string{path}, cli.WithProfiles([]string{"*"}), cli.WithDiscardEnvFile)
	if err != nil {
		return nil, err
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return nil, err
	}
	text, err := project.MarshalJSON()
	return json.RawMessage(text), err
}
