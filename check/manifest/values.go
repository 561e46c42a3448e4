package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"helm.sh/helm/v4/pkg/chart/common"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/strvals"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

// values are those of the caller, in the order in which helm takes them: files,
// then single ones. A message never has a value in it.
func (o *HelmOptions) values(most int64) (map[string]any, *v1alpha1.FieldError) {
	all := map[string]any{}
	for _, file := range o.Values {
		data, err := readFile(file, most)
		if err != nil {
			return nil, &v1alpha1.FieldError{File: file, Message: "cannot be read: " + reason(err)}
		}
		values, err := loader.LoadValues(bytes.NewReader(data))
		if err != nil {
			return nil, &v1alpha1.FieldError{File: file, Message: "the values cannot be read: " + oneLine(err.Error()), Hint: "a values file is a YAML mapping"}
		}
		all = loader.MergeMaps(all, values)
	}
	for _, set := range []struct {
		flag  string
		texts []string
		parse func(string, map[string]any) error
	}{
		{"set-json", o.SetJSON, setJSON},
		{"set", o.Set, strvals.ParseInto},
		{"set-string", o.SetString, strvals.ParseIntoString},
	} {
		for _, text := range set.texts {
			if err := set.parse(text, all); err != nil {
				name, _, _ := strings.Cut(text, "=")
				return nil, &v1alpha1.FieldError{File: "--" + set.flag, Message: "the value of " + oneLine(name) + " cannot be read", Hint: "write name=value"}
			}
		}
	}
	return all, nil
}

// setJSON takes name=JSON, or a JSON object as a whole.
func setJSON(text string, into map[string]any) error {
	if trimmed := strings.TrimSpace(text); strings.HasPrefix(trimmed, "{") {
		values, err := loader.LoadValues(strings.NewReader(trimmed))
		if err != nil {
			return err
		}
		for name, value := range loader.MergeMaps(into, values) {
			into[name] = value
		}
		return nil
	}
	return strvals.ParseJSON(text, into)
}

// validate holds values against the schemas of a chart and the ones in it, as helm
// does, but that schemas are not loaded from elsewhere. The error names places and
// rules; values may be secret.
func validate(made *chart.Chart, values any) error {
	if v, ok := values.(common.Values); ok {
		values = v.AsMap()
	}
	if made.Schema != nil {
		if err := validateOne(made.Schema, values); err != nil {
			return fmt.Errorf("the values are not as %s of %s wants them: %w", "values.schema.json", made.Name(), err)
		}
	}
	of, _ := values.(map[string]any)
	for _, sub := range made.Dependencies() {
		if inner := of[sub.Name()]; inner != nil {
			if err := validate(sub, inner); err != nil {
				return err
			}
		}
	}
	return nil
}

func validateOne(schema []byte, values any) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the schema cannot be read: %v", p)
		}
	}()
	const name = "file:///values.schema.json"
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return fmt.Errorf("the schema cannot be read: %w", err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(atHome{})
	if err := compiler.AddResource(name, parsed); err != nil {
		return err
	}
	compiled, err := compiler.Compile(name)
	if err != nil {
		return err
	}
	wrong := &jsonschema.ValidationError{}
	if err := compiled.Validate(values); errors.As(err, &wrong) {
		return errors.New(strings.Join(violations(wrong, nil), "; "))
	} else if err != nil {
		return err
	}
	return nil
}

// violations are the places and rules of what is wrong, without the values.
func violations(e *jsonschema.ValidationError, all []string) []string {
	const most = 10
	if len(e.Causes) == 0 && len(all) < most {
		all = append(all, fmt.Sprintf("/%s breaks the rule %q", strings.Join(e.InstanceLocation, "/"), strings.Join(e.ErrorKind.KeywordPath(), "/")))
	}
	for _, cause := range e.Causes {
		all = violations(cause, all)
	}
	return all
}

// atHome loads no schemas. Names that are no addresses are taken to allow anything,
// as helm takes them.
type atHome struct{}

func (atHome) Load(url string) (any, error) {
	if strings.HasPrefix(url, "urn:") {
		return true, nil
	}
	return nil, errors.New("it is loaded from elsewhere, and nothing is fetched")
}
