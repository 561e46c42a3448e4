package abac

import (
	"slices"
	"testing"
)

func TestFindings(t *testing.T) {
	const begin = `{"apiVersion":"abac.authorization.kubernetes.io/v1beta1","kind":"Policy",`
	const unversioned = "it has no version, and so what it leaves out means everyone and everything: write it as v1beta1"
	const opens = "every authenticated user may do everything"
	for _, test := range []struct {
		data string
		want []string
	}{
		{begin + `"spec":{"user":"ann","namespace":"*"}}`, nil},
		{begin + `"spec":{"user":"ann","readOnly":true}}`, []string{`f:1: ignored: unknown field "spec.readOnly"`}},
		{begin + `"spec":{"user":"ann","user":"bob"}}`, []string{`f:1: ignored: duplicate field "spec.user"`}},
		{begin + `"spec":{"namespace":"*"}}`, []string{"f:1: it names no user and no group, and so allows nobody anything"}},
		{`{"user":"ann"}`, []string{"f:1: " + unversioned}},
		{"#\n" + `{"kind":"Policy","spec":{"user":"ann"}}` + "\n{}\n", []string{
			"f:2: " + opens + " (and 1 more like it)", `f:2: ignored: unknown field "spec"`, "f:2: " + unversioned + " (and 1 more like it)",
		}},
		{"---", []string{"f:1: " + opens, "f:1: " + unversioned}},
		{"null", []string{"f:1: " + opens, "f:1: " + unversioned}},
	} {
		var got []string
		for _, finding := range mustParse(t, test.data).Findings() {
			got = append(got, finding.At.Place()+": "+finding.Reason)
			if finding.Opinion != "warn" || finding.Part != "ABAC" {
				t.Errorf("%s: %+v", test.data, finding)
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s\n got %q\nwant %q", test.data, got, test.want)
		}
	}
}
