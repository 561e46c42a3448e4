package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"
)

const epoch = "1700000000"

// sample is build information with each kind of module in it.
var sample = &debug.BuildInfo{
	GoVersion: "go1.26.8",
	Main:      debug.Module{Path: "example.org/gate", Version: "(devel)"},
	Deps: []*debug.Module{
		{Path: "example.org/a-b", Version: "v1.0.0", Sum: "h1:one="},
		{Path: "example.org/a_b", Version: "v1.0.0", Sum: "h1:two="},
		{Path: "example.org/fork", Version: "v1.0.0", Replace: &debug.Module{Path: "example.org/ours", Version: "v1.0.1", Sum: "h1:four="}},
		{Path: "example.org/old", Version: "v1.0.0", Replace: &debug.Module{Path: "./new"}},
		{Path: "github.com/BurntSushi/toml", Version: "v2.0.0+incompatible", Sum: "h1:three="},
	},
	Settings: []debug.BuildSetting{{Key: "CGO_ENABLED", Value: "0"}, {Key: "GOOS", Value: "linux"}},
}

func sampleSubject() subject {
	return subject{
		name: "gate_1.2.3", file: "gate", version: "1.2.3", revision: "abc", license: "Apache-2.0",
		sha256: strings.Repeat("0", 64), created: time.Unix(1700000000, 0),
	}
}

func TestThisBinary(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	write := func() []byte {
		var b bytes.Buffer
		if err := run([]string{"-version", "0.1.0", "-license", "Apache-2.0", self}, epoch, &b, io.Discard); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	first := write()
	checkSPDX(t, first)
	if !bytes.Equal(first, write()) {
		t.Error("the same binary gave two different documents")
	}
	if want := `"created": "2023-11-14T22:13:20Z"`; !bytes.Contains(first, []byte(want)) {
		t.Errorf("no %s in the document", want)
	}
	sum, err := hashFile(self)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(first, []byte(sum)) {
		t.Errorf("the binary's SHA-256 %s is not in the document", sum)
	}
}

func TestModules(t *testing.T) {
	doc, err := describe(sampleSubject(), sample)
	if err != nil {
		t.Fatal(err)
	}
	data, err := doc.encode()
	if err != nil {
		t.Fatal(err)
	}
	checkSPDX(t, data)
	var got []string
	for _, p := range doc.Packages {
		got = append(got, fmt.Sprint(p.SPDXID, " ", p.ExternalRefs[0].Locator, "\n  ", p.DownloadLocation, "\n  ", p.Comment))
	}
	want := []string{
		"SPDXRef-example.org-gate-v1.2.3 pkg:golang/example.org/gate@v1.2.3\n  git+https://example.org/gate@abc\n  Built with go1.26.8 CGO_ENABLED=0 GOOS=linux",
		"SPDXRef-stdlib-1.26.8 pkg:golang/stdlib@1.26.8\n  https://go.dev/dl/go1.26.8.src.tar.gz\n  ",
		"SPDXRef-example.org-a-b-v1.0.0 pkg:golang/example.org/a-b@v1.0.0\n  https://proxy.golang.org/example.org/a-b/@v/v1.0.0.zip\n  go.sum h1:one=",
		"SPDXRef-example.org-a-b-v1.0.0-2 pkg:golang/example.org/a_b@v1.0.0\n  https://proxy.golang.org/example.org/a_b/@v/v1.0.0.zip\n  go.sum h1:two=",
		"SPDXRef-example.org-ours-v1.0.1 pkg:golang/example.org/ours@v1.0.1\n  https://proxy.golang.org/example.org/ours/@v/v1.0.1.zip\n  in place of example.org/fork v1.0.0, go.sum h1:four=",
		"SPDXRef-example.org-old-v1.0.0 pkg:golang/example.org/old@v1.0.0\n  NOASSERTION\n  replaced by the folder ./new",
		"SPDXRef-github.com-BurntSushi-toml-v2.0.0-incompatible pkg:golang/github.com/burntsushi/toml@v2.0.0%2Bincompatible\n  https://proxy.golang.org/github.com/!burnt!sushi/toml/@v/v2.0.0+incompatible.zip\n  go.sum h1:three=",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestNamespaceFollowsContent(t *testing.T) {
	one, err := describe(sampleSubject(), sample)
	if err != nil {
		t.Fatal(err)
	}
	other := sampleSubject()
	other.sha256 = strings.Repeat("1", 64)
	two, err := describe(other, sample)
	if err != nil {
		t.Fatal(err)
	}
	if one.DocumentNamespace == two.DocumentNamespace {
		t.Errorf("two binaries share the namespace %s", one.DocumentNamespace)
	}
}

func TestRefusals(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		says, epoch string
		args        []string
	}{
		{"usage", epoch, []string{self}},
		{"SOURCE_DATE_EPOCH", "", []string{"-version", "1", self}},
		{"hash binary", epoch, []string{"-version", "1", "no-such-file"}},
		{"read build information", epoch, []string{"-version", "1", "describe_test.go"}},
	} {
		if err := run(c.args, c.epoch, io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v: got error %v, want one that says %q", c.args, err, c.says)
		}
	}
}

var (
	idForm      = regexp.MustCompile(`^SPDXRef-[A-Za-z0-9.-]+$`)
	createdForm = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$`)
	creatorForm = regexp.MustCompile(`^(Tool|Person|Organization): .+$`)
	cpeForm     = regexp.MustCompile(`^cpe:2\.3:[aho](:[^:]+){10}$`)
)

// checkSPDX holds data against what SPDX 2.3 asks of every document: sections
// 6 (document creation), 7 (packages) and 11 (relationships). It reads the
// JSON without the types that wrote it.
func checkSPDX(t *testing.T, data []byte) {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatalf("no JSON: %v", err)
	}
	text := func(in map[string]any, field string) string {
		s, _ := in[field].(string)
		if s == "" {
			t.Errorf("required field %s is missing in %v", field, in["SPDXID"])
		}
		return s
	}
	list := func(in map[string]any, field string) []map[string]any {
		var all []map[string]any
		items, _ := in[field].([]any)
		for _, item := range items {
			m, ok := item.(map[string]any)
			if !ok {
				t.Fatalf("an item of %s is no object: %v", field, item)
			}
			all = append(all, m)
		}
		if len(all) == 0 {
			t.Errorf("%s is empty", field)
		}
		return all
	}
	for field, want := range map[string]string{"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT"} {
		if got := text(doc, field); got != want {
			t.Errorf("%s is %q, not %q", field, got, want)
		}
	}
	text(doc, "name")
	if u, err := url.Parse(text(doc, "documentNamespace")); err != nil || !u.IsAbs() || u.Fragment != "" {
		t.Errorf("documentNamespace is no absolute URI without fragment: %v (%v)", u, err)
	}
	creation, _ := doc["creationInfo"].(map[string]any)
	if !createdForm.MatchString(text(creation, "created")) {
		t.Errorf("created is not in the form of section 6.9: %v", creation["created"])
	}
	creators, _ := creation["creators"].([]any)
	if len(creators) == 0 {
		t.Error("creators is empty")
	}
	for _, c := range creators {
		if !creatorForm.MatchString(fmt.Sprint(c)) {
			t.Errorf("creator is not in the form of section 6.8: %v", c)
		}
	}
	ids := map[string]bool{"SPDXRef-DOCUMENT": true}
	for _, p := range list(doc, "packages") {
		id := text(p, "SPDXID")
		if !idForm.MatchString(id) || ids[id] {
			t.Errorf("identifier %q is malformed or there twice", id)
		}
		ids[id] = true
		text(p, "name")
		if u, err := url.Parse(text(p, "downloadLocation")); err != nil || !u.IsAbs() && u.String() != noAssertion {
			t.Errorf("downloadLocation of %s: %v (%v)", id, u, err)
		}
		if analyzed, ok := p["filesAnalyzed"].(bool); !ok || analyzed {
			t.Errorf("filesAnalyzed of %s must be false: it has no files", id)
		}
		checkReferences(t, id, list(p, "externalRefs"), text)
		if p["checksums"] == nil {
			continue
		}
		for _, c := range list(p, "checksums") {
			if text(c, "algorithm") != "SHA256" || len(text(c, "checksumValue")) != 64 {
				t.Errorf("checksum of %s is no SHA-256 in hex: %v", id, c)
			}
		}
	}
	described, reached := 0, map[string]bool{"SPDXRef-DOCUMENT": true}
	for _, r := range list(doc, "relationships") {
		from, to := text(r, "spdxElementId"), text(r, "relatedSpdxElement")
		if !ids[from] || !ids[to] {
			t.Errorf("relationship to nowhere: %v", r)
		}
		if text(r, "relationshipType") == "DESCRIBES" && from == "SPDXRef-DOCUMENT" {
			described++
		}
		reached[to] = true
	}
	if described == 0 {
		t.Error("the document describes nothing")
	}
	if len(reached) != len(ids) {
		t.Errorf("%d of %d elements are related to something", len(reached), len(ids))
	}
}

func checkReferences(t *testing.T, id string, refs []map[string]any, text func(map[string]any, string) string) {
	t.Helper()
	purls := 0
	for _, r := range refs {
		locator := text(r, "referenceLocator")
		switch kind := text(r, "referenceCategory") + " " + text(r, "referenceType"); kind {
		case "PACKAGE-MANAGER purl":
			if !strings.HasPrefix(locator, "pkg:golang/") {
				t.Errorf("purl of %s: %q", id, locator)
			}
			purls++
		case "SECURITY cpe23Type":
			if !cpeForm.MatchString(locator) {
				t.Errorf("CPE of %s: %q", id, locator)
			}
		default:
			t.Errorf("reference of %s of unknown kind %s", id, kind)
		}
	}
	if purls != 1 {
		t.Errorf("%s has %d purls", id, purls)
	}
}
