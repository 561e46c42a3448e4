package v1alpha1

import (
	"reflect"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/equality"
)

func TestDefaultDataDir(t *testing.T) {
	for _, c := range []struct {
		env  []string
		want string
	}{
		{[]string{"HOME=/home/anna"}, "/home/anna/.local/share/gatehouse"},
		{[]string{"HOME=/home/anna", "XDG_DATA_HOME=/data"}, "/data/gatehouse"},
		{[]string{"HOME=/home/anna", "XDG_DATA_HOME=data"}, "/home/anna/.local/share/gatehouse"},
		{[]string{"HOME=."}, ""},
		{nil, ""},
	} {
		got, err := DefaultDataDir(environment(c.env...))
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%v: got %q, %v; want %q", c.env, got, err, c.want)
		}
	}
}

// TestSetDefaultsKeeps holds that defaulting changes nothing that is set, and
// that doing it twice is doing it once.
func TestSetDefaultsKeeps(t *testing.T) {
	cfg := mustParse(t, seeds["all"])
	if err := SetDefaults(cfg, environment("HOME=/home/anna")); err != nil {
		t.Fatal(err)
	}
	before := mustParse(t, seeds["all"])
	for _, p := range fieldPaths(serveConfigurationType, "") {
		was, is := at(before, p), at(cfg, p)
		if typ := deref(was.Type()); isLeaf(typ) && !isSections(typ) && !was.IsZero() && !equality.Semantic.DeepEqual(was.Interface(), is.Interface()) {
			t.Errorf("%s became %v", p, is)
		}
	}
	twice := cfg.DeepCopy()
	if err := SetDefaults(twice, environment()); err != nil {
		t.Fatal(err)
	}
	if !equality.Semantic.DeepEqual(cfg, twice) {
		t.Errorf("a second time gives %+v", twice)
	}
}

func TestSetDefaultsAdvertiseAddress(t *testing.T) {
	for listen, want := range map[string]string{
		"127.0.0.1:6443":   "",
		"[::1]:6443":       "",
		"0.0.0.0:6443":     "",
		"localhost:6443":   "",
		"192.0.2.10:6443":  "192.0.2.10",
		"[2001:db8::1]:80": "2001:db8::1",
	} {
		cfg := &ServeConfiguration{Listen: listen}
		if err := SetDefaults(cfg, environment("HOME=/")); err != nil {
			t.Fatal(err)
		}
		if cfg.AdvertiseAddress != want {
			t.Errorf("%s: got %q, want %q", listen, cfg.AdvertiseAddress, want)
		}
	}
}

func TestSetDefaultsWithoutHome(t *testing.T) {
	cfg := &ServeConfiguration{}
	if err := SetDefaults(cfg, environment()); err == nil || cfg.DataDir != "" || cfg.Audit.LogFile != "" {
		t.Errorf("got %v, %q, %q", err, cfg.DataDir, cfg.Audit.LogFile)
	}
	cfg = &ServeConfiguration{DataDir: "/d"}
	if err := SetDefaults(cfg, environment()); err != nil || cfg.Audit.LogFile != "/d/audit/audit.log" {
		t.Errorf("got %v, %q", err, cfg.Audit.LogFile)
	}
}

// at returns the field of a path, behind pointers; of lists, that of the first item.
func at(cfg any, path string) reflect.Value {
	v := reflect.ValueOf(cfg).Elem()
	for name := range strings.SplitSeq(path, ".") {
		name, item := strings.CutSuffix(name, "[]")
		v = reflect.Indirect(v)
		v = v.FieldByIndex(memberNamed(members(v.Type()), name).index)
		if item {
			v = v.Index(0)
		}
	}
	return v
}
