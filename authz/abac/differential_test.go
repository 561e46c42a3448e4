package abac

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/klog/v2"
	upstream "k8s.io/kubernetes/pkg/auth/authorizer/abac"
)

// Upstream warns of every file with lines of the old form.
func TestMain(m *testing.M) {
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
	os.Exit(m.Run())
}

// Which files are accepted, and over these every verdict, reason and list of rules,
// is upstream's.
func TestEqualsUpstream(t *testing.T) {
	w := newWorld(2026, 11)
	path := filepath.Join(t.TempDir(), "policies.jsonl")
	var accepted, refused, requests, allowed int
	for n := 0; requests < differentialRequests; n++ {
		data := w.file()
		ours, theirs := parseBoth(t, path, data)
		if t.Failed() {
			t.Fatalf("file %d", n)
		}
		if ours == nil {
			refused++
			continue
		}
		accepted++
		for range 100 {
			requests++
			if a := w.request(); compare(t, ours, theirs, a) {
				if allowed++; allowed%100 == 0 {
					checkSource(t, ours, data, a)
				}
			}
		}
		for range 5 {
			compareRules(t, ours, theirs, w.user(), w.of(namespaces))
		}
		if t.Failed() {
			t.Fatalf("file %d:\n%s", n, data)
		}
	}
	t.Logf("%d files, %d of them refused, %d requests, %d allowed", accepted+refused, refused, requests, allowed)
	if refused < accepted/20 || allowed < requests/10 || allowed > requests*9/10 {
		t.Error("the files and requests are too much alike to prove anything")
	}
}

// Lines that are not as they should be are accepted and refused alike, and mean
// the same.
func TestOddLinesEqualUpstream(t *testing.T) {
	w := newWorld(11, 2026)
	path := filepath.Join(t.TempDir(), "policies.jsonl")
	var accepted int
	check := func(line string) {
		ours, theirs := parseBoth(t, path, line)
		if ours == nil {
			return
		}
		accepted++
		for range 4 {
			compare(t, ours, theirs, w.request())
		}
		compareRules(t, ours, theirs, w.user(), w.of(namespaces))
	}
	for _, line := range wholes {
		check(line)
		check(line + "\n" + line + "\r\n")
	}
	const lines = differentialRequests / 30
	for range lines {
		line := w.odd()
		if check(line); t.Failed() {
			t.Fatalf("line %q", line)
		}
	}
	t.Logf("%d of %d accepted", accepted, lines)
	if accepted < lines/10 || accepted > lines*9/10 {
		t.Error("the lines are too much alike to prove anything")
	}
}

// A line is too long at the same length as upstream.
func TestLongLinesEqualUpstream(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policies.jsonl")
	for length := 65530; length < 65540; length++ {
		for _, end := range []string{"", "\n", "\r\n", "\n{}\n"} {
			parseBoth(t, path, "#"+strings.Repeat(".", length-1)+end)
			parseBoth(t, path, "{}\n#"+strings.Repeat(".", length-1)+end)
		}
	}
}

func FuzzEqualsUpstream(f *testing.F) {
	w := newWorld(1, 2)
	path := filepath.Join(f.TempDir(), "policies.jsonl")
	for range 50 {
		f.Add([]byte(w.file()), "ann", "devs,ops", "get", "shop", "pods", "apps", "")
		f.Add([]byte(w.odd()), "bob", "", "create", "", "", "", "/healthz")
	}
	for _, line := range wholes {
		f.Add([]byte(line), "ann", "system:authenticated", "create", "shop", "pods", "", "")
	}
	f.Fuzz(func(t *testing.T, data []byte, name, in, verb, namespace, resource, apiGroup, url string) {
		ours, theirs := parseBoth(t, path, string(data))
		if ours == nil {
			return
		}
		u := &user.DefaultInfo{Name: name, Groups: strings.Split(in, ",")}
		compare(t, ours, theirs, authorizer.AttributesRecord{User: u, Verb: verb, Namespace: namespace, Resource: resource, APIGroup: apiGroup, ResourceRequest: true})
		compare(t, ours, theirs, authorizer.AttributesRecord{User: u, Verb: verb, Path: url})
		compareRules(t, ours, theirs, u, namespace)
	})
}

// parseBoth gives a file to both; nil where both refuse it, at the same line.
func parseBoth(t *testing.T, path, data string) (*Policies, upstream.PolicyList) {
	t.Helper()
	os.Remove(path) // some file systems wait for the disk when a file is written over
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	theirs, theirErr := upstream.NewFromFile(path)
	ours, err := Parse(path, []byte(data))
	if (err == nil) != (theirErr == nil) {
		t.Errorf("%.1000q: %v; upstream: %v", data, err, theirErr)
		return nil, nil
	}
	if err == nil {
		return ours, theirs
	}
	own, ok := errors.AsType[*Error](err)
	if !ok || own.Problem == "" || own.Mend == "" {
		t.Errorf("%.1000q: %#v is no error with a hint", data, err)
	} else if strings.Contains(theirErr.Error(), ", line ") && !strings.Contains(theirErr.Error(), fmt.Sprintf(", line %d: ", own.Line)) {
		t.Errorf("%.1000q: %v; upstream: %v", data, err, theirErr)
	}
	return nil, nil
}

// compare reports whether both allow.
func compare(t *testing.T, ours *Policies, theirs upstream.PolicyList, a authorizer.AttributesRecord) bool {
	t.Helper()
	ctx := context.Background()
	want, wantReason, wantErr := theirs.Authorize(ctx, a)
	got, reason, err := ours.Authorize(ctx, a)
	if got != want || reason != wantReason || err != wantErr {
		t.Errorf("%+v of %+v: %v %q %v; upstream: %v %q %v", a, a.User, got, reason, err, want, wantReason, wantErr)
	}
	if step := ours.explain(a, true); (step.Opinion == "allow") != (want == authorizer.DecisionAllow) {
		t.Errorf("%+v of %+v: the step says %s, the decision is %v", a, a.User, step.Opinion, want)
	}
	if got, want := ours.ConditionsAwareAuthorize(ctx, a), theirs.ConditionsAwareAuthorize(ctx, a); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v of %+v: %v; upstream: %v", a, a.User, got, want)
	}
	return got == authorizer.DecisionAllow
}

// checkSource expects that the line a step names allows the request by itself, and
// that those before it do not.
func checkSource(t *testing.T, ours *Policies, data string, a authorizer.AttributesRecord) {
	t.Helper()
	line := ours.explain(a, false).Sources[0].Line
	lines := strings.SplitAfter(data, "\n")
	for part, want := range map[string]authorizer.Decision{
		lines[line-1]:                          authorizer.DecisionAllow,
		strings.Join(lines[:line-1], "") + "#": authorizer.DecisionNoOpinion,
	} {
		if got, _, _ := mustParse(t, part).Authorize(t.Context(), a); got != want {
			t.Errorf("%+v of %+v: line %d is named, but %q says %v", a, a.User, line, part, got)
		}
	}
}

func compareRules(t *testing.T, ours *Policies, theirs upstream.PolicyList, u user.Info, namespace string) {
	t.Helper()
	ctx := context.Background()
	resources, urls, incomplete, err := ours.RulesFor(ctx, u, namespace)
	wantResources, wantURLs, wantIncomplete, wantErr := theirs.RulesFor(ctx, u, namespace)
	if !reflect.DeepEqual(resources, wantResources) || !reflect.DeepEqual(urls, wantURLs) || incomplete != wantIncomplete || err != wantErr {
		t.Errorf("rules of %+v in %q: %v %v %v %v; upstream: %v %v %v %v", u, namespace,
			resources, urls, incomplete, err, wantResources, wantURLs, wantIncomplete, wantErr)
	}
}
