package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/santhosh-tekuri/jsonschema/v6"
	core "k8s.io/api/core/v1"
	admission "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/yaml"
)

// Kinds of extensions: Kubernetes' own schemas do not have them.
var extensions = map[string]func() any{
	"ServiceMonitor": func() any { return &monitoring.ServiceMonitor{} },
	"PodMonitor":     func() any { return &monitoring.PodMonitor{} },
	"PrometheusRule": func() any { return &monitoring.PrometheusRule{} },
	"Gateway":        func() any { return &gateway.Gateway{} },
	"HTTPRoute":      func() any { return &gateway.HTTPRoute{} },
}

// extension refuses fields that the type of an extension does not have.
func extension(object *resource.Resource) error {
	empty, known := extensions[object.GetKind()]
	if !known {
		return nil
	}
	text, err := object.AsYAML()
	if err != nil {
		return err
	}
	return yaml.UnmarshalStrict(text, empty())
}

// The schemas call each other by addresses below this one.
const address = "https://kubernetes.io/api/"

// local answers those addresses from a folder.
type local string

func (folder local) Load(url string) (any, error) {
	file, err := os.Open(filepath.Join(string(folder), strings.TrimPrefix(url, address)))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return jsonschema.UnmarshalJSON(file)
}

// schema refuses what the strict JSON schemas of a version of Kubernetes, in a folder, do not allow.
func schema(folder string) func(*resource.Resource) error {
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(local(folder))
	return func(object *resource.Resource) error {
		if _, other := extensions[object.GetKind()]; other {
			return nil
		}
		compiled, err := compiler.Compile(address + fileOf(object))
		if err != nil {
			return fmt.Errorf("Kubernetes does not have it: %w", err)
		}
		text, err := object.MarshalJSON()
		if err != nil {
			return err
		}
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
		if err != nil {
			return err
		}
		return compiled.Validate(value)
	}
}

// fileOf is the name that the schema of an object's kind and version has.
func fileOf(object *resource.Resource) string {
	group, version, grouped := strings.Cut(object.GetApiVersion(), "/")
	name := object.GetKind() + "-" + group
	if grouped {
		group, _, _ = strings.Cut(group, ".")
		name = object.GetKind() + "-" + group + "-" + version
	}
	return strings.ToLower(name) + ".json"
}

// restricted refuses pods as a namespace with `pod-security.kubernetes.io/enforce: restricted` does.
func restricted(object *resource.Resource) error {
	pods := map[string]bool{"StatefulSet": true, "Deployment": true, "Job": true, "DaemonSet": true}
	if !pods[object.GetKind()] {
		return nil
	}
	text, err := object.MarshalJSON()
	if err != nil {
		return err
	}
	var workload struct {
		Spec struct {
			Template core.PodTemplateSpec `json:"template"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(text, &workload); err != nil {
		return err
	}
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks())
	if err != nil {
		return err
	}
	pod := workload.Spec.Template
	level := admission.LevelVersion{Level: admission.LevelRestricted, Version: admission.LatestVersion()}
	verdict := policy.AggregateCheckResults(evaluator.EvaluatePod(level, &pod.ObjectMeta, &pod.Spec))
	if !verdict.Allowed {
		return errors.New(verdict.ForbiddenDetail())
	}
	return nil
}
