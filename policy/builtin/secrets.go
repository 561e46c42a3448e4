package builtin

import (
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/internal/glob"
	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/plaintext"
)

// repeating are the annotations that repeat the object that they stand on.
var repeating = []string{"kubectl.kubernetes.io/last-applied-configuration"}

// search collects what one object has.
type search struct {
	opts    plaintext.Options
	ignored []string
	found   []problem
}

// look searches one text. Nothing of it enters a message.
func (s *search) look(path, name, of, text string) {
	if glob.Any(s.ignored, name) {
		return
	}
	say := func(f plaintext.Finding, how string) {
		s.found = append(s.found, problem{path: path, hidden: true,
			message: fmt.Sprintf("%s holds %s at line %d, column %d%s: keep it in a Secret", of, f.What, f.Line, f.Column, how)})
	}
	found := plaintext.Find(name, []byte(text), s.opts)
	for _, f := range found {
		say(f, "")
	}
	if len(found) > 0 {
		return
	}
	// Lines of base64 are often broken.
	encoded := strings.Join(strings.Fields(text), "")
	if len(encoded) < 24 || strings.ContainsAny(encoded[:24], ":.-") {
		return
	}
	if decoded, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(encoded, "=")); err == nil {
		for _, f := range plaintext.Find(name, decoded, s.opts) {
			say(f, ", once base64 is taken away")
		}
	}
}

func (s *search) strings(path, kind string, in map[string]any) {
	for _, key := range slices.Sorted(maps.Keys(in)) {
		if value, ok := in[key].(string); ok && !slices.Contains(repeating, key) {
			s.look(path+"["+key+"]", key, kind+" "+quoted(key), value)
		}
	}
}

func disallowPlaintextSecrets(e entry, given *v1alpha1.BuiltinPolicy) (*entry, error) {
	var ignored []string
	opts := plaintext.Options{}
	if given != nil && given.DisallowPlaintextSecrets != nil {
		ignored, opts.KnownFormsOnly = given.DisallowPlaintextSecrets.IgnoreKeys, given.DisallowPlaintextSecrets.KnownFormsOnly
	}
	e.object = func(_ context.Context, r *policy.Request, o, _ *unstructured.Unstructured) ([]problem, error) {
		if o == nil {
			return nil, nil
		}
		s := &search{opts: opts, ignored: ignored}
		s.strings("metadata.annotations", "annotation", annotations(o))
		if kind := r.GetKind(); kind.Group == "" && kind.Kind == "ConfigMap" {
			s.strings("data", "the key", object(o.Object, "data"))
			binary := object(o.Object, "binaryData")
			for _, key := range slices.Sorted(maps.Keys(binary)) {
				if decoded, err := base64.StdEncoding.DecodeString(text(binary, key)); err == nil {
					s.look("binaryData["+key+"]", key, "the key "+quoted(key), string(decoded))
				}
			}
			return s.found, nil
		}
		p, err := podOf(r)
		if p == nil || err != nil {
			return s.found, err
		}
		if p.at != "spec" {
			s.strings(p.metadataAt+".annotations", "annotation", object(p.metadata, "annotations"))
		}
		for i := range p.containers {
			c := &p.containers[i]
			for j, v := range list(c.content, "env") {
				variable, _ := v.(map[string]any)
				name := text(variable, "name")
				s.look(c.path(p, fmt.Sprintf("env[%d].value", j)), name, fmt.Sprintf("the variable %s of %s", quoted(name), c.named()), text(variable, "value"))
			}
			for _, field := range []string{"command", "args"} {
				before := ""
				for j, a := range list(c.content, field) {
					argument, _ := a.(string)
					// --token VALUE and --token=VALUE
					s.look(c.path(p, fmt.Sprintf("%s[%d]", field, j)), before, fmt.Sprintf("%s[%d] of %s", field, j, c.named()), argument)
					before = ""
					if strings.HasPrefix(argument, "-") && !strings.Contains(argument, "=") {
						before = strings.TrimLeft(argument, "-")
					}
				}
			}
		}
		return s.found, nil
	}
	return &e, nil
}
