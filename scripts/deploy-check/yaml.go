package main

import (
	"os"

	"sigs.k8s.io/yaml"
)

// plain reads any YAML file; the same key twice is refused.
func plain(path string) (any, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var found any
	err = yaml.UnmarshalStrict(text, &found)
	return found, err
}
