package cluster

import (
	"encoding/json"
	"reflect"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

// TestEveryFieldCanBeRead goes through the types that files are read into: a field
// of a type that the decoder does not know would refuse honest files.
func TestEveryFieldCanBeRead(t *testing.T) {
	unmarshaler := reflect.TypeFor[json.Unmarshaler]()
	var check func(typ reflect.Type, path string)
	check = func(typ reflect.Type, path string) {
		if skipped[path] {
			return
		}
		if typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		if reflect.PointerTo(typ).Implements(unmarshaler) {
			return
		}
		switch typ.Kind() {
		case reflect.String, reflect.Bool, reflect.Int32, reflect.Int64:
		case reflect.Slice, reflect.Map:
			check(typ.Elem(), path+"[]")
		case reflect.Struct:
			for name, index := range fieldsOf(typ) {
				check(typ.FieldByIndex(index).Type, join(path, name))
			}
		default:
			t.Errorf("%s is of type %s", path, typ)
		}
	}
	for _, typ := range []reflect.Type{
		reflect.TypeFor[rbacv1.Role](), reflect.TypeFor[rbacv1.ClusterRole](),
		reflect.TypeFor[rbacv1.RoleBinding](), reflect.TypeFor[rbacv1.ClusterRoleBinding](), reflect.TypeFor[v1alpha1.Guard](),
	} {
		check(typ, "")
	}
}

func TestSuggest(t *testing.T) {
	known := fieldsOf(reflect.TypeFor[rbacv1.PolicyRule]())
	for name, want := range map[string]string{
		"verb": `did you mean "verbs"?`, "apigroups": `did you mean "apiGroups"?`, "resourcesNames": `did you mean "resourceNames"?`,
		"x": "known here: apiGroups, nonResourceURLs, resourceNames, resources, verbs", "": "known here: apiGroups, nonResourceURLs, resourceNames, resources, verbs",
	} {
		if got := suggest(known, name); got != want {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
	}
}
