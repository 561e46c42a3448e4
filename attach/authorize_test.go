package attach

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/kubernetes/pkg/apis/authorization"
	internalv1 "k8s.io/kubernetes/pkg/apis/authorization/v1"
	"k8s.io/kubernetes/pkg/apis/authorization/validation"
	authorizationutil "k8s.io/kubernetes/pkg/registry/authorization/util"
)

// deciding is an authorizer of a test.
type deciding func(context.Context, authorizer.Attributes) (authorizer.Decision, string, error)

func (d deciding) Authorize(ctx context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	return d(ctx, a)
}

// always answers every question alike.
func always(decision authorizer.Decision, reason string, err error) deciding {
	return func(context.Context, authorizer.Attributes) (authorizer.Decision, string, error) {
		return decision, reason, err
	}
}

func newServer(t testing.TB, opts Options) *Server {
	t.Helper()
	s, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// post sends a review and returns the answer.
func post(t testing.TB, h http.Handler, path, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// statusOf reads an answer that must be a Status.
func statusOf(t testing.TB, w *httptest.ResponseRecorder) metav1.Status {
	t.Helper()
	var s metav1.Status
	if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil || s.Kind != "Status" || s.APIVersion != "v1" || s.Status != metav1.StatusFailure || int(s.Code) != w.Code {
		t.Errorf("HTTP %d with no Status of the same code: %v %s", w.Code, err, w.Body)
	}
	return s
}

const accessReview = `{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","spec":`

func TestAuthorizeAnswers(t *testing.T) {
	type status = authorizationv1.SubjectAccessReviewStatus
	for _, c := range []struct {
		name string
		a    deciding
		want status
	}{
		{"allow", always(authorizer.DecisionAllow, "bound", nil), status{Allowed: true, Reason: "bound"}},
		{"deny", always(authorizer.DecisionDeny, "guarded", nil), status{Denied: true, Reason: "guarded"}},
		{"no opinion", always(authorizer.DecisionNoOpinion, "nothing", nil), status{Reason: "nothing"}},
		{"error", always(authorizer.DecisionNoOpinion, "", errors.New("away")), status{EvaluationError: "away"}},
		{"deny with an error", always(authorizer.DecisionDeny, "guarded", errors.New("away")), status{Denied: true, Reason: "guarded", EvaluationError: "away"}},
		{"allow with an error allows nothing", always(authorizer.DecisionAllow, "bound", errors.New("away")), status{Reason: "bound", EvaluationError: "away"}},
		{"an unknown decision allows nothing", always(authorizer.Decision(17), "", nil), status{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := post(t, newServer(t, Options{Endpoints: []Endpoint{Authorize(c.a)}}).Handler(), "/authorize",
				accessReview+`{"user":"jane","nonResourceAttributes":{"verb":"get","path":"/"}}}`)
			var got authorizationv1.SubjectAccessReview
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusOK {
				t.Fatalf("HTTP %d %v %s", w.Code, err, w.Body)
			}
			if got.Status != c.want || got.Kind != "SubjectAccessReview" || got.APIVersion != "authorization.k8s.io/v1" {
				t.Errorf("got %+v, want status %+v", got, c.want)
			}
		})
	}
}

func TestAuthorizeRefusesWhatIsNoReview(t *testing.T) {
	asked := false
	h := newServer(t, Options{Endpoints: []Endpoint{Authorize(deciding(func(context.Context, authorizer.Attributes) (authorizer.Decision, string, error) {
		asked = true
		return authorizer.DecisionAllow, "", nil
	}))}}).Handler()
	resource := func(more string) string {
		return accessReview + `{"user":"jane","resourceAttributes":{"verb":"list","resource":"pods"` + more + `}}}`
	}
	for _, c := range []struct{ name, body, says string }{
		{"nothing", "", "no JSON object"},
		{"no JSON", "user=jane", "no JSON object"},
		{"a list", "[]", "no JSON object"},
		{"null", "null", `kind ""`},
		{"two objects", accessReview + `{"user":"a","nonResourceAttributes":{}}} {}`, "no JSON object"},
		{"deep", strings.Repeat(`{"a":`, 100_000), "no JSON object"},
		{"other kind", `{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview"}`, `have kind "TokenReview"`},
		{"no kind", `{"spec":{}}`, "want a SubjectAccessReview"},
		{"older version", `{"apiVersion":"authorization.k8s.io/v1beta1","kind":"SubjectAccessReview"}`, "subjectAccessReviewVersion: v1"},
		{"kind in capitals", `{"APIVERSION":"authorization.k8s.io/v1","KIND":"SubjectAccessReview"}`, "want a SubjectAccessReview"},
		{"no spec", `{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview"}`, "exactly one of resourceAttributes and nonResourceAttributes"},
		{"both attributes", accessReview + `{"user":"a","resourceAttributes":{},"nonResourceAttributes":{}}}`, "exactly one of resourceAttributes"},
		{"neither", accessReview + `{"user":"a"}}`, "exactly one of resourceAttributes"},
		{"nobody", accessReview + `{"nonResourceAttributes":{"path":"/"}}}`, "spec.user"},
		{"user in capitals", accessReview + `{"User":"jane","nonResourceAttributes":{"path":"/"}}}`, "spec.user"},
		{"wrong type", accessReview + `{"user":["jane"],"nonResourceAttributes":{}}}`, "wrong type"},
		{"empty field selector", resource(`,"fieldSelector":{}`), "fieldSelector"},
		{"both label selectors", resource(`,"labelSelector":{"rawSelector":"a","requirements":[{"key":"a","operator":"Exists"}]}`), "labelSelector"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := post(t, h, "/authorize", c.body)
			if s := statusOf(t, w); w.Code != http.StatusBadRequest || !strings.Contains(s.Message, c.says) {
				t.Errorf("HTTP %d: %q, want 400 and %q", w.Code, s.Message, c.says)
			}
		})
	}
	if asked {
		t.Error("the authorizer was asked")
	}
}

func TestAGroupAloneMayBeAskedAbout(t *testing.T) {
	h := newServer(t, Options{Endpoints: []Endpoint{Authorize(always(authorizer.DecisionAllow, "", nil))}}).Handler()
	if w := post(t, h, "/authorize", accessReview+`{"groups":["devs"],"nonResourceAttributes":{"path":"/"}}}`); w.Code != http.StatusOK {
		t.Errorf("HTTP %d %s", w.Code, w.Body)
	}
}

// TestAttributesAreUpstreams compares with what an API server makes of the same
// review, over random ones.
func TestAttributesAreUpstreams(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	pick := func(of ...string) string { return of[random.IntN(len(of))] }
	values := func() []string {
		return [][]string{nil, {}, {"a"}, {"a", "b"}, {""}, {"not a label value!"}}[random.IntN(6)]
	}
	for range 50_000 {
		spec := authorizationv1.SubjectAccessReviewSpec{User: pick("", "jane"), UID: pick("", "7"), Groups: [][]string{nil, {"devs"}, {"a", "b"}}[random.IntN(3)]}
		if random.IntN(2) == 0 {
			spec.Extra = map[string]authorizationv1.ExtraValue{pick("a", "b"): values()}
		}
		if random.IntN(4) > 0 {
			r := &authorizationv1.ResourceAttributes{
				Namespace: pick("", "shop"), Verb: pick("get", "list", "*", ""), Group: pick("", "apps", "*"), Version: pick("", "v1", "*"),
				Resource: pick("pods", "*", ""), Subresource: pick("", "log"), Name: pick("", "web"),
			}
			if random.IntN(2) == 0 {
				r.FieldSelector = &authorizationv1.FieldSelectorAttributes{}
				for range random.IntN(4) {
					r.FieldSelector.Requirements = append(r.FieldSelector.Requirements, metav1.FieldSelectorRequirement{
						Key: pick("metadata.name", "spec.nodeName", ""), Operator: metav1.FieldSelectorOperator(pick("In", "NotIn", "Exists", "DoesNotExist", "Near", "")), Values: values()})
				}
			}
			if random.IntN(2) == 0 {
				r.LabelSelector = &authorizationv1.LabelSelectorAttributes{}
				for range random.IntN(4) {
					r.LabelSelector.Requirements = append(r.LabelSelector.Requirements, metav1.LabelSelectorRequirement{
						Key: pick("app", "example.org/tier", "", "no key!"), Operator: metav1.LabelSelectorOperator(pick("In", "NotIn", "Exists", "DoesNotExist", "Near", "")), Values: values()})
				}
			}
			spec.ResourceAttributes = r
		}
		if random.IntN(4) == 0 {
			spec.NonResourceAttributes = &authorizationv1.NonResourceAttributes{Path: pick("", "/metrics"), Verb: pick("get", "")}
		}
		sameAsUpstream(t, &spec)
	}
}

// sameAsUpstream compares what is made of a review with what an API server makes.
func sameAsUpstream(t *testing.T, spec *authorizationv1.SubjectAccessReviewSpec) {
	t.Helper()
	var internal authorization.SubjectAccessReviewSpec
	if err := internalv1.Convert_v1_SubjectAccessReviewSpec_To_authorization_SubjectAccessReviewSpec(spec, &internal, nil); err != nil {
		t.Fatal(err)
	}
	wrong := validation.ValidateSubjectAccessReview(&authorization.SubjectAccessReview{Spec: internal})
	if err := validateAccessReview(spec); err != nil {
		if len(wrong) == 0 {
			t.Fatalf("%+v: refused (%v), and an API server takes it", spec, err)
		}
		return
	}
	// What upstream refuses beyond that is a requirement that cannot be
	// understood, which narrows nothing.
	for _, e := range wrong {
		if !strings.Contains(e.Field, "requirements") {
			t.Fatalf("%+v: taken, and an API server refuses it: %v", spec, e)
		}
	}
	want, got := authorizationutil.AuthorizationAttributesFrom(internal), attributesOf(spec)
	if a, b := evaluationError(nil, got), authorizationutil.BuildEvaluationError(nil, want); a != b {
		t.Fatalf("%+v: evaluation error %q, want %q", spec, a, b)
	}
	if (got.FieldSelectorParsingErr == nil) != (want.FieldSelectorParsingErr == nil) || (got.LabelSelectorParsingErr == nil) != (want.LabelSelectorParsingErr == nil) {
		t.Fatalf("%+v: errors %v and %v, want %v and %v", spec, got.FieldSelectorParsingErr, got.LabelSelectorParsingErr, want.FieldSelectorParsingErr, want.LabelSelectorParsingErr)
	}
	got.FieldSelectorParsingErr, got.LabelSelectorParsingErr = want.FieldSelectorParsingErr, want.LabelSelectorParsingErr
	if !reflect.DeepEqual(*got, want) {
		t.Fatalf("%+v: got\n%+v\nwant\n%+v", spec, *got, want)
	}
}

// TestARawSelectorIsLeftOut is what the API's documentation wants of a webhook.
func TestARawSelectorIsLeftOut(t *testing.T) {
	a := attributesOf(&authorizationv1.SubjectAccessReviewSpec{User: "jane", ResourceAttributes: &authorizationv1.ResourceAttributes{
		FieldSelector: &authorizationv1.FieldSelectorAttributes{RawSelector: "metadata.name=a"},
		LabelSelector: &authorizationv1.LabelSelectorAttributes{RawSelector: "app=a"},
	}})
	if len(a.FieldSelectorRequirements)+len(a.LabelSelectorRequirements) > 0 || evaluationError(nil, a) != "" {
		t.Errorf("got %+v", a)
	}
}

func FuzzAuthorize(f *testing.F) {
	f.Add([]byte(accessReview + `{"user":"jane","uid":"7","groups":["devs"],"extra":{"a":["b"]},"resourceAttributes":{"verb":"list","resource":"pods","fieldSelector":{"requirements":[{"key":"a","operator":"In","values":["b"]}]},"labelSelector":{"requirements":[{"key":"a","operator":"Exists"}]}}}}`))
	f.Add([]byte(accessReview + `{"user":"jane","nonResourceAttributes":{"verb":"get","path":"/"}}}`))
	f.Add([]byte(accessReview + `{"user":"jane","resourceAttributes":{"labelSelector":{"requirements":[{"key":"\u0000","operator":"In","values":["\ud800"]}]}}}}`))
	s, err := New(Options{Endpoints: []Endpoint{Authorize(always(authorizer.DecisionDeny, "no", nil))}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		w := post(t, s.Handler(), "/authorize", string(body))
		switch w.Code {
		case http.StatusOK:
			var got authorizationv1.SubjectAccessReview
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || !got.Status.Denied || got.Status.Allowed {
				t.Fatalf("%v %s", err, w.Body)
			}
			var asked authorizationv1.SubjectAccessReview
			if err := json.Unmarshal(body, &asked); err == nil && asked.Spec.ResourceAttributes != nil && withoutRaw(asked.Spec.ResourceAttributes) {
				sameAsUpstream(t, &asked.Spec)
			}
		case http.StatusBadRequest:
			statusOf(t, w)
		default:
			t.Fatalf("HTTP %d %s", w.Code, w.Body)
		}
	})
}

// withoutRaw leaves out raw selectors, of which the two think differently.
func withoutRaw(r *authorizationv1.ResourceAttributes) bool {
	return (r.FieldSelector == nil || r.FieldSelector.RawSelector == "") && (r.LabelSelector == nil || r.LabelSelector.RawSelector == "")
}
