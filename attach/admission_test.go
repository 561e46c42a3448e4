package attach

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	imagepolicyv1alpha1 "k8s.io/api/imagepolicy/v1alpha1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/gatehouse-io/gatehouse/policy"
)

// saying is a policy of everything that says what a test wants.
type saying struct {
	selecting
	say func(context.Context, *policy.Request) []policy.Result
}

func (s *saying) Validate(ctx context.Context, r *policy.Request) []policy.Result {
	return s.say(ctx, r)
}
func (s *saying) Mutate(context.Context, *policy.Request) (*unstructured.Unstructured, error) {
	return nil, nil
}

// admitting is a server of the admission endpoints; say nil has no policies read.
func admitting(t *testing.T, say func(context.Context, *policy.Request) []policy.Result) *Server {
	t.Helper()
	var set *policy.Set
	if say != nil {
		set = policy.NewSet([]policy.Policy{&saying{selecting{[]policy.Selector{{}}}, say}}, policy.Options{})
	}
	p := Policies{Set: func() *policy.Set { return set }}
	return newServer(t, Options{Endpoints: []Endpoint{Mutate(p), Validate(p), Images(p)}})
}

func results(all ...policy.Result) func(context.Context, *policy.Request) []policy.Result {
	return func(context.Context, *policy.Request) []policy.Result { return all }
}

// reviewOf is an AdmissionReview of a Pod, with other fields of the request in place of
// those that it has.
func reviewOf(t *testing.T, change func(*admissionv1.AdmissionRequest)) string {
	t.Helper()
	review := &admissionv1.AdmissionReview{Request: &admissionv1.AdmissionRequest{UID: "1", Operation: admissionv1.Create, Namespace: "shop", Name: "web"}}
	review.APIVersion, review.Kind = "admission.k8s.io/v1", "AdmissionReview"
	review.Request.Kind.Version, review.Request.Kind.Kind = "v1", "Pod"
	review.Request.Resource.Version, review.Request.Resource.Resource = "v1", "pods"
	review.Request.Object.Raw = []byte(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web","namespace":"shop"}}`)
	if change != nil {
		change(review.Request)
	}
	data, err := json.Marshal(review)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestAdmissionFailsClosed(t *testing.T) {
	unread, denying := admitting(t, nil), admitting(t, results(policy.Result{Actions: []policy.Action{policy.Deny}, Message: "no"}))
	image := `{"apiVersion":"imagepolicy.k8s.io/v1alpha1","kind":"ImageReview","spec":{"containers":[{"image":"a"}]}}`
	for name, c := range map[string]struct {
		server     *Server
		path, body string
		code       int
		says       string
	}{
		"mutations that were not read":   {unread, "/mutate", reviewOf(t, nil), 503, "have not been read yet"},
		"validations that were not read": {unread, "/validate", reviewOf(t, nil), 503, "have not been read yet"},
		"images before anything is read": {unread, "/images", image, 503, "have not been read yet"},
		"another version":                {denying, "/validate", strings.Replace(reviewOf(t, nil), "admission.k8s.io/v1", "admission.k8s.io/v1beta1", 1), 400, "admissionReviewVersions"},
		"another kind":                   {denying, "/validate", image, 400, "AdmissionReview"},
		"no uid":                         {denying, "/validate", reviewOf(t, func(r *admissionv1.AdmissionRequest) { r.UID = "" }), 400, "uid"},
		"no request":                     {denying, "/mutate", `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`, 400, "request"},
		"no object":                      {denying, "/validate", reviewOf(t, func(r *admissionv1.AdmissionRequest) { r.Object.Raw = []byte(`[]`) }), 400, "request.object"},
		"no image":                       {denying, "/images", `{"apiVersion":"imagepolicy.k8s.io/v1alpha1","kind":"ImageReview","spec":{}}`, 400, "spec.containers"},
		"images of another version":      {denying, "/images", strings.Replace(image, "v1alpha1", "v1", 1), 400, "v1alpha1"},
	} {
		w := post(t, c.server.Handler(), c.path, c.body)
		if said := statusOf(t, w); w.Code != c.code || !strings.Contains(said.Message, c.says) {
			t.Errorf("%s: HTTP %d %q, want %d %q", name, w.Code, said.Message, c.code, c.says)
		}
	}
}

// answerOf posts an AdmissionReview that is answered.
func answerOf(t *testing.T, h http.Handler, path, body string) *admissionv1.AdmissionResponse {
	t.Helper()
	w := post(t, h, path, body)
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(w.Body.Bytes(), &review); err != nil || w.Code != http.StatusOK || review.Response == nil || review.Response.UID != types.UID("1") {
		t.Fatalf("HTTP %d %v %s", w.Code, err, w.Body)
	}
	return review.Response
}

func TestAdmissionAnswers(t *testing.T) {
	h := admitting(t, results(
		policy.Result{Actions: []policy.Action{policy.Warn}, Message: "it is old"},
		policy.Result{Actions: []policy.Action{policy.Audit}, Message: "it is seen"}))
	said := answerOf(t, h.Handler(), "/validate", reviewOf(t, nil))
	if !said.Allowed || len(said.Warnings) != 1 || !strings.Contains(said.Warnings[0], "it is old") || !strings.Contains(said.AuditAnnotations["violations"], "it is seen") {
		t.Errorf("the answer is %+v", said)
	}
	h = admitting(t, results(policy.Result{Actions: []policy.Action{policy.Deny}, Message: "it is bad"}))
	if said := answerOf(t, h.Handler(), "/validate", reviewOf(t, nil)); said.Allowed || said.Result == nil || said.Result.Code != 403 || !strings.Contains(said.Result.Message, "it is bad") || said.Patch != nil {
		t.Errorf("the answer is %+v", said)
	}
	// A policy that is too much can be taken away.
	if said := answerOf(t, h.Handler(), "/validate", reviewOf(t, func(r *admissionv1.AdmissionRequest) {
		r.Operation, r.Resource.Group, r.Resource.Version, r.Resource.Resource = admissionv1.Delete, "gatehouse.io", "v1alpha1", "builtinpolicies"
	})); !said.Allowed {
		t.Errorf("a policy cannot be deleted: %+v", said)
	}
}

// TestAReviewEndsBeforeItsClient: an API server says how long it waits, and a policy that
// takes longer refuses in time.
func TestAReviewEndsBeforeItsClient(t *testing.T) {
	var left time.Duration
	h := admitting(t, func(ctx context.Context, _ *policy.Request) []policy.Result {
		until, _ := ctx.Deadline()
		left = time.Until(until)
		<-ctx.Done()
		return nil
	})
	if said := answerOf(t, h.Handler(), "/validate?timeout=200ms", reviewOf(t, nil)); said.Allowed {
		t.Errorf("what no policy has judged to its end is allowed: %+v", said)
	}
	if left > 180*time.Millisecond {
		t.Errorf("a policy has %v of 200ms", left)
	}
}

func TestImageReviewAnswers(t *testing.T) {
	h := admitting(t, func(_ context.Context, r *policy.Request) []policy.Result {
		o, err := r.Object()
		if err != nil {
			t.Error(err)
		}
		var all []policy.Result
		containers, _, _ := unstructured.NestedSlice(o.Object, "spec", "containers")
		for _, c := range containers {
			if image := c.(map[string]any)["image"].(string); strings.HasPrefix(image, "docker.io/") && o.GetNamespace() == "shop" && o.GetAnnotations()["x.image-policy.k8s.io/y"] == "z" {
				all = append(all, policy.Result{Actions: []policy.Action{policy.Deny}, Message: image + " is not ours", Images: []string{image}})
			}
		}
		return append(all, policy.Result{Actions: []policy.Action{policy.Deny}, Message: "it has no owner"})
	})
	for images, want := range map[string]string{`{"image":"registry.example.org/a"}`: "", `{"image":"registry.example.org/a"},{"image":"docker.io/b"}`: "docker.io/b is not ours"} {
		w := post(t, h.Handler(), "/images", `{"apiVersion":"imagepolicy.k8s.io/v1alpha1","kind":"ImageReview","spec":{"namespace":"shop","annotations":{"x.image-policy.k8s.io/y":"z"},"containers":[`+images+`]}}`)
		var review imagepolicyv1alpha1.ImageReview
		if err := json.Unmarshal(w.Body.Bytes(), &review); err != nil || w.Code != http.StatusOK || review.Kind != "ImageReview" {
			t.Fatalf("HTTP %d %v %s", w.Code, err, w.Body)
		}
		if review.Status.Allowed != (want == "") || !strings.Contains(review.Status.Reason, want) || strings.Contains(review.Status.Reason, "owner") {
			t.Errorf("%s: %+v", images, review.Status)
		}
	}
}
