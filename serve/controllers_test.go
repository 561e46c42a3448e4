package serve

import (
	"strings"
	"testing"
)

func TestSelectControllers(t *testing.T) {
	for _, c := range []struct {
		setting string
		want    int
		err     string
	}{
		{"*", len(controllers), ""},
		{"", 0, ""},
		{"namespace-controller", 1, ""},
		{"*,-namespace-controller", len(controllers) - 1, ""},
		{"-namespace-controller", 0, ""},
		{"*,-no-such", 0, `controller "no-such" is not known`},
	} {
		var names []string
		if c.setting != "" {
			names = strings.Split(c.setting, ",")
		}
		got, err := selectControllers(names)
		if c.err != "" {
			if err == nil || err.Error() != c.err {
				t.Errorf("%q: error %v, want %s", c.setting, err, c.err)
			}
			continue
		}
		if err != nil || len(got) != c.want {
			t.Errorf("%q: %d controllers, error %v, want %d", c.setting, len(got), err, c.want)
		}
	}
}
