// deploy-check reads what Rungs is deployed by with the libraries that Docker and Kubernetes themselves use, and prints it as
// JSON for the tests (services/rungs/tests/deploy) to judge:
//
//	deploy-check compose FILE                 the project of a compose file, with every profile
//	deploy-check kustomize FOLDER SCHEMA...   the objects of a kustomization; refuses what the JSON schemas of some versions of
//	                                          Kubernetes (a folder each) or the types of extensions do not allow, and pods
//	                                          that Pod Security "restricted" would not admit
//	deploy-check yaml FILE                    any YAML file
//
// Exit code 1, with the reason on standard error, if something cannot be read or is refused.
package main

import (
	"encoding/json"
	"fmt"
	"os"
)

func main() {
	if len(os.Args) < 3 {
		fail(fmt.Errorf("usage: deploy-check compose FILE | kustomize FOLDER SCHEMA... | yaml FILE"))
	}
	var found any
	var err error
	switch command := os.Args[1]; command {
	case "compose":
		found, err = compose(os.Args[2])
	case "kustomize":
		found, err = kustomize(os.Args[2], os.Args[3:])
	case "yaml":
		found, err = plain(os.Args[2])
	default:
		err = fmt.Errorf("there is no command %s", command)
	}
	if err != nil {
		fail(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(found); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "deploy-check:", err)
	os.Exit(1)
}
