package mounts

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/restmapper"
	"sigs.k8s.io/yaml"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/test/e2e/kept"
	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

const fixture = "testdata/cluster.yaml"

// question is one request, and what the answer must begin with.
type question struct {
	who    string
	groups []string
	args   []string // VERB RESOURCE [NAME] [-n NS | -A], as explain takes them
	want   string   // allowed, denied or no opinion
	near   string   // what the nearest miss lacks
}

func (q *question) name() string {
	return q.who + " " + strings.Join(q.groups, ",") + " " + strings.Join(q.args, " ")
}

var questions = []question{
	{"rosa", []string{"readers"}, []string{"list", "pods", "-n", "shop"}, "allowed", ""},
	{"rosa", []string{"readers"}, []string{"get", "pods/log", "p", "-n", "shop"}, "allowed", ""},
	{"rosa", []string{"readers"}, []string{"get", "pods", "p", "-n", "shop"}, "denied", ""},
	{"rosa", []string{"readers", "on-call"}, []string{"get", "pods", "p", "-n", "shop"}, "allowed", ""},
	{"ann", []string{"readers"}, []string{"get", "pods", "p", "-n", "shop"}, "allowed", ""},
	{"rosa", []string{"readers"}, []string{"list", "pods", "-n", "lab"}, "no opinion", "namespace lab"},
	{"rosa", []string{"readers"}, []string{"list", "pods", "-A"}, "no opinion", "all namespaces: it is good in shop alone"},
	{"rosa", []string{"readers"}, []string{"create", "pods", "-n", "shop"}, "no opinion", "verb create"},
	{"rosa", []string{"readers"}, []string{"get", "configmaps", "settings", "-n", "shop"}, "allowed", ""},
	{"rosa", []string{"readers"}, []string{"get", "configmaps", "other", "-n", "shop"}, "no opinion", "name other: it names others"},
	{"rosa", []string{"readers"}, []string{"list", "configmaps", "-n", "shop"}, "no opinion", "verb list, and requests without a name: it names settings"},
	{"rosa", []string{"readers"}, []string{"get", "pods/exec", "p", "-n", "shop"}, "no opinion", "resource pods/exec: it has pods alone"},
	{"ada", nil, []string{"delete", "secrets", "s", "-n", "shop"}, "denied", ""},
	{"ada", nil, []string{"create", "secrets", "-n", "shop"}, "allowed", ""},
	{"ada", nil, []string{"get", "nodes"}, "no opinion", "all namespaces: it is good in shop alone"},
	{"system:serviceaccount:shop:robot", nil, []string{"update", "deployments.apps", "web", "-n", "shop"}, "allowed", ""},
	{"system:serviceaccount:lab:robot", nil, []string{"update", "deployments.apps", "web", "-n", "shop"}, "no opinion", ""},
	{"dora", nil, []string{"delete", "deployments.apps", "web", "-n", "shop"}, "no opinion", "verb delete"},
	{"dora", nil, []string{"get", "jobs.batch", "-n", "shop"}, "no opinion", ""},
	{"emil", nil, []string{"list", "services", "-n", "shop"}, "no opinion", "validity: it ended at 2020-01-01T00:00:00Z"},
	{"lost", nil, []string{"list", "pods", "-n", "shop"}, "no opinion", `its role: role.rbac.authorization.k8s.io "nowhere" not found`},
	{"sean", []string{"scalers"}, []string{"update", "deployments.apps/scale", "web", "-n", "lab"}, "allowed", ""},
	{"sean", []string{"scalers"}, []string{"get", "/metrics/slis"}, "allowed", ""},
	{"sean", []string{"scalers"}, []string{"get", "/healthz/log"}, "no opinion", ""},
	{"nobody", nil, []string{"get", "pods", "p", "-n", "shop"}, "no opinion", ""},
}

// answer is what every mount says of a question.
type answer struct {
	Verdict, Reason string
	Steps           []v1alpha1.TraceStep // of Guards and RBAC; without times, places and files
}

func TestEveryMountAnswersTheSame(t *testing.T) {
	s := server.Start(t, server.Options{Args: []string{"--controllers", "*,-gatehouse-grant-controller"}})
	apply(t, s)
	// Every cluster has roles of its own, which nobody of the fixture holds: what is
	// known of the others is known of them.
	dump := filepath.Join(t.TempDir(), "cluster.yaml")
	data, err := os.ReadFile(fixture)
	passes(t, err)
	passes(t, os.WriteFile(dump, data, 0o600))
	client := server.Dynamic(t, s.AdminConfig(t)).Resource(v1alpha1.SchemeGroupVersion.WithResource("requestreviews"))

	asked := map[string]*v1alpha1.RequestReview{}
	for _, q := range questions {
		name := q.name()
		args := []string{"explain", "-o", "json", "--as", q.who}
		for _, g := range q.groups {
			args = append(args, "--as-group", g)
		}
		args = append(args, q.args...)
		files, review := explained(t, append(args, "--from", dump))
		if files.Verdict != q.want || len(files.Steps) < 2 {
			t.Errorf("%s: %s, want %s: %+v", name, files.Verdict, q.want, files)
			continue
		}
		var near string
		for _, step := range files.Steps {
			if len(step.Misses) > 0 {
				near = step.Misses[0].Lacks
			}
		}
		if near != q.near {
			t.Errorf("%s: nearest lacks %q, want %q", name, near, q.near)
		}
		live, _ := explained(t, append(args, "--kubeconfig", s.Kubeconfig()))
		same(t, name+", the live cluster", live, files)

		object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&v1alpha1.RequestReview{TypeMeta: review.TypeMeta, Spec: review.Spec})
		passes(t, err)
		created, err := client.Create(t.Context(), &unstructured.Unstructured{Object: object}, metav1.CreateOptions{})
		passes(t, err)
		var served v1alpha1.RequestReview
		passes(t, runtime.DefaultUnstructuredConverter.FromUnstructured(created.Object, &served))
		served.Status.Steps = slices.DeleteFunc(served.Status.Steps, func(step v1alpha1.TraceStep) bool { return step.Part == "Node" || step.Gate != "authorization" })
		same(t, name+", serve", answerOf(&served), files)

		asked[name] = review
	}

	// Last, for attach takes away the grant of the fixture that has ended.
	address := attach(t, s)
	for _, q := range questions {
		name := q.name()
		review := asked[name]
		if review == nil {
			continue // it has failed before
		}
		sar := askWebhook(t, address, &review.Spec)
		verdict := map[[2]bool]string{{true, false}: "allowed", {false, true}: "denied", {false, false}: "no opinion"}[[2]bool{sar.Allowed, sar.Denied}]
		if verdict != q.want {
			t.Errorf("%s, attach: %s, want %s", name, verdict, q.want)
		}
		if verdict == "denied" && sar.Reason != review.Status.Reason {
			t.Errorf("%s, attach: reason %q, want %q", name, sar.Reason, review.Status.Reason)
		}
	}
}

func same(t *testing.T, name string, got, want answer) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		g, _ := json.MarshalIndent(got, "", " ")
		w, _ := json.MarshalIndent(want, "", " ")
		t.Errorf("%s:\n%s\nover files:\n%s", name, g, w)
	}
}

// explained runs the command line and reads its review.
func explained(t *testing.T, args []string) (answer, *v1alpha1.RequestReview) {
	t.Helper()
	out, errs, code := server.Command(t, args...)
	// 3: files that lack a role the answer hangs on are incomplete.
	if code != 0 && code != 1 && code != 3 {
		t.Fatalf("gatehouse %v: exit code %d\n%s", args, code, errs)
	}
	r := &v1alpha1.RequestReview{}
	if err := json.Unmarshal([]byte(out), r); err != nil {
		t.Fatalf("gatehouse %v: %v\n%s", args, err, out)
	}
	if code != 3 && r.Status.Allowed != (code == 0) {
		t.Errorf("gatehouse %v: exit code %d, and allowed is %v", args, code, r.Status.Allowed)
	}
	return answerOf(r), r
}

func answerOf(r *v1alpha1.RequestReview) answer {
	a := answer{Verdict: "no opinion", Reason: r.Status.Reason}
	switch {
	case r.Status.Allowed:
		a.Verdict = "allowed"
	case r.Status.Denied:
		a.Verdict = "denied"
	}
	plain := func(list []v1alpha1.TraceSource) []v1alpha1.TraceSource {
		var all []v1alpha1.TraceSource
		for _, s := range list {
			s.File, s.Line = "", 0
			all = append(all, s)
		}
		return all
	}
	for _, step := range r.Status.Steps {
		step.Took = metav1.Duration{}
		step.Sources = plain(step.Sources)
		for i := range step.Misses {
			step.Misses[i].Sources = plain(step.Misses[i].Sources)
		}
		a.Steps = append(a.Steps, step)
	}
	return a
}

// apply creates the objects of the fixture.
func apply(t *testing.T, s *server.Server) {
	t.Helper()
	data, err := os.ReadFile(fixture)
	passes(t, err)
	disco, err := discovery.NewDiscoveryClientForConfig(s.AdminConfig(t))
	passes(t, err)
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(disco))
	client := server.Dynamic(t, s.AdminConfig(t))
	for document := range strings.SplitSeq(string(data), "\n---\n") {
		object := &unstructured.Unstructured{}
		passes(t, yaml.Unmarshal([]byte(document), &object.Object))
		kind := object.GroupVersionKind()
		mapping, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
		passes(t, err)
		_, err = client.Resource(mapping.Resource).Namespace(object.GetNamespace()).Create(t.Context(), object, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatal(err)
		}
	}
}

// attach starts the webhooks over the same cluster, and returns their address.
func attach(t *testing.T, s *server.Server) string {
	t.Helper()
	bin, err := server.Binary()
	passes(t, err)
	address := server.FreeAddress(t)
	var log bytes.Buffer
	cmd := exec.Command(bin, "attach", "--kubeconfig", s.Kubeconfig(), "--data-dir", t.TempDir(), "--listen", address)
	said := io.MultiWriter(&log, kept.Log(t, "attach"))
	cmd.Stdout, cmd.Stderr = said, said
	passes(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("attach said:\n%s", log.String())
		}
	})
	server.Eventually(t, 30*time.Second, func(context.Context) error {
		resp, err := insecure.Get("https://" + address + "/readyz")
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return nil
	})
	return address
}

// insecure believes any certificate: the tests of package attach are about that.
var insecure = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}

func askWebhook(t *testing.T, address string, spec *v1alpha1.RequestReviewSpec) authorizationv1.SubjectAccessReviewStatus {
	t.Helper()
	body, err := json.Marshal(&authorizationv1.SubjectAccessReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "authorization.k8s.io/v1", Kind: "SubjectAccessReview"},
		Spec:     authorizationv1.SubjectAccessReviewSpec{User: spec.User, Groups: spec.Groups, ResourceAttributes: spec.ResourceAttributes, NonResourceAttributes: spec.NonResourceAttributes},
	})
	passes(t, err)
	resp, err := insecure.Post("https://"+address+"/authorize", "application/json", bytes.NewReader(body))
	passes(t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	passes(t, err)
	var review authorizationv1.SubjectAccessReview
	if err := json.Unmarshal(data, &review); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(fmt.Errorf("%s: %s, %w", resp.Status, data, err))
	}
	return review.Status
}

func passes(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
