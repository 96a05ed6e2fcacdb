package main

import (
	"errors"
	"fmt"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// kustomize builds a folder as `kustomize build` does, and lets every judge look at every object.
func kustomize(folder string, schemas []string) (any, error) {
	objects, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), folder)
	if err != nil {
		return nil, err
	}
	judges := []func(*resource.Resource) error{extension, restricted}
	for _, folder := range schemas {
		judges = append(judges, schema(folder))
	}
	built, problems := []map[string]any{}, []error{}
	for _, object := range objects.Resources() {
		fields, err := object.Map()
		if err != nil {
			return nil, err
		}
		built = append(built, fields)
		for _, judge := range judges {
			if err := judge(object); err != nil {
				problems = append(problems, fmt.Errorf("%s %s: %w", object.GetKind(), object.GetName(), err))
			}
		}
	}
	return built, errors.Join(problems...)
}
