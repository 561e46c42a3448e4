package revocation

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/cache"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

func tokenRule(name, id string) v1alpha1.Revocation {
	return revocation(name, v1alpha1.RevocationSpec{TokenID: id})
}

// refusesID reports that a token of this ID is refused, and by which Revocation.
func refusesID(t testing.TB, r *Registry, id string) string {
	got := verdict(wrap(t, as("sam", "JTI="+id), r), request("x"))
	source, _, _ := strings.Cut(strings.TrimPrefix(got, "credential revoked by Revocation/"), ":")
	return source
}

func TestMalformedRevocations(t *testing.T) {
	for want, spec := range map[string]v1alpha1.RevocationSpec{
		"exactly one of certificate, user, serviceAccount and tokenID (0 are set)": {},
		"(2 are set)": {TokenID: "x", User: &v1alpha1.RevokedUser{Name: "ann", IssuedBefore: *at(noon)}},
		"exactly one of serialNumber and sha256Fingerprint": {Certificate: &v1alpha1.RevokedCertificate{}},
		"spec.certificate.serialNumber":                     {Certificate: &v1alpha1.RevokedCertificate{SerialNumber: "12:xy"}},
		"is not a hexadecimal number":                       {Certificate: &v1alpha1.RevokedCertificate{SerialNumber: "123:45"}},
		"colons between octets":                             {Certificate: &v1alpha1.RevokedCertificate{SerialNumber: ":12"}},
		"is not 32 bytes":                                   {Certificate: &v1alpha1.RevokedCertificate{SHA256Fingerprint: "abcd"}},
		"spec.user.name":                                    {User: &v1alpha1.RevokedUser{IssuedBefore: *at(noon)}},
		"spec.user.issuedBefore":                            {User: &v1alpha1.RevokedUser{Name: "ann"}},
		"spec.serviceAccount":                               {ServiceAccount: &v1alpha1.RevokedServiceAccount{Name: "web"}},
		"spec.serviceAccount.issuedBefore":                  {ServiceAccount: &v1alpha1.RevokedServiceAccount{Namespace: "a", Name: "b", IssuedBefore: &metav1.Time{}}},
		"spec.expiresAt":                                    {TokenID: "x", ExpiresAt: &metav1.Time{}},
	} {
		r := registryOf(t, tokenRule("good", "id"))
		bad := revocation("bad", spec)
		err := r.Upsert(&bad)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), `"bad"`) {
			t.Errorf("got %v, want %q", err, want)
		}
		if r.Invalid()["bad"] == nil || refusesID(t, r, "id") != "good" {
			t.Errorf("%q: %v, or the good one does not hold", want, r.Invalid())
		}
		if err := r.Replace([]v1alpha1.Revocation{bad, tokenRule("good", "id")}); err == nil || r.Len() != 1 {
			t.Errorf("%q: replace: %v, %d in force", want, err, r.Len())
		}
	}
}

func TestLastGoodVersionHolds(t *testing.T) {
	r := registryOf(t, tokenRule("a", "id"))
	bad := revocation("a", v1alpha1.RevocationSpec{})
	if r.Upsert(&bad) == nil || refusesID(t, r, "id") != "a" {
		t.Error("a malformed version takes the good one out of force")
	}
	if r.Replace([]v1alpha1.Revocation{bad}) == nil || refusesID(t, r, "id") != "a" {
		t.Error("so does Replace")
	}
	good := tokenRule("a", "id2")
	if err := r.Upsert(&good); err != nil || len(r.Invalid()) != 0 || refusesID(t, r, "id") != "" || refusesID(t, r, "id2") != "a" {
		t.Errorf("a mended version is not in force: %v, %v", err, r.Invalid())
	}
	_ = r.Upsert(&bad)
	r.Delete("a")
	r.Delete("a")
	if refusesID(t, r, "id2") != "" || len(r.Invalid()) != 0 || r.Len() != 0 {
		t.Error("a deleted one is in force")
	}
}

func TestChangedKind(t *testing.T) {
	r := registryOf(t, tokenRule("a", "id"))
	next := revocation("a", v1alpha1.RevocationSpec{User: &v1alpha1.RevokedUser{Name: "sam", IssuedBefore: *at(noon)}})
	if err := r.Upsert(&next); err != nil {
		t.Fatal(err)
	}
	if r.current.Load().indexes[byTokenID].size != 0 || r.Len() != 1 || refusesID(t, r, "other") != "a" {
		t.Error("the old rule stands, or the new one does not")
	}
}

// TestChangesEqualReplace holds that the set does not depend on how it came
// about: any sequence of changes gives what one Replace of the outcome gives.
func TestChangesEqualReplace(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	changed, want := registryOf(t), map[string]v1alpha1.Revocation{}
	for range 3000 {
		name := fmt.Sprint("r", rng.IntN(40))
		if rng.IntN(3) == 0 {
			changed.Delete(name)
			delete(want, name)
			continue
		}
		rev := tokenRule(name, fmt.Sprint("id", rng.IntN(20)))
		if rng.IntN(2) == 0 {
			rev = revocation(name, v1alpha1.RevocationSpec{Certificate: &v1alpha1.RevokedCertificate{SerialNumber: fmt.Sprint(10 + rng.IntN(20))}})
		}
		if err := changed.Upsert(&rev); err != nil {
			t.Fatal(err)
		}
		want[name] = rev
	}
	var all []v1alpha1.Revocation
	for _, rev := range want {
		all = append(all, rev)
	}
	replaced := registryOf(t, all...)
	for i := range 20 {
		id := fmt.Sprint("id", i)
		if got, want := refusesID(t, changed, id), refusesID(t, replaced, id); got != want {
			t.Errorf("%s: %q, want %q", id, got, want)
		}
	}
	a, b := changed.current.Load(), replaced.current.Load()
	for k := range kinds {
		if a.indexes[k].size != b.indexes[k].size {
			t.Errorf("index %d has %d rules, want %d", k, a.indexes[k].size, b.indexes[k].size)
		}
	}
}

func TestReadsWhileChanging(t *testing.T) {
	r := registryOf(t, tokenRule("fixed", "id"))
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 200 {
				rev := tokenRule(fmt.Sprint(g), fmt.Sprint("other", i))
				_ = r.Upsert(&rev)
				if refusesID(t, r, "id") != "fixed" {
					t.Error("a rule was missing while another changed")
				}
				r.Delete(rev.Name)
			}
		})
	}
	wg.Wait()
}

func TestHandler(t *testing.T) {
	r := registryOf(t)
	h := r.Handler()
	object := func(name string, spec map[string]any) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "gatehouse.io/v1alpha1", "kind": "Revocation",
			"metadata": map[string]any{"name": name}, "spec": spec,
		}}
	}
	h.OnAdd(object("a", map[string]any{"tokenID": "id-a", "expiresAt": "2031-01-01T00:00:00Z"}), true)
	typed := tokenRule("b", "id-b")
	h.OnAdd(&typed, false)
	h.OnAdd(object("c", map[string]any{"tokenID": int64(3)}), false)
	if refusesID(t, r, "id-a") != "a" || refusesID(t, r, "id-b") != "b" || r.Invalid()["c"] == nil {
		t.Errorf("not as told: %v", r.Invalid())
	}
	h.OnUpdate(nil, object("a", map[string]any{"tokenID": []any{}}))
	if refusesID(t, r, "id-a") != "a" || r.Invalid()["a"] == nil {
		t.Error("a malformed update takes the rule out of force")
	}
	h.OnDelete(cache.DeletedFinalStateUnknown{Key: "a", Obj: object("a", nil)})
	h.OnDelete(cache.DeletedFinalStateUnknown{Key: "b"})
	h.OnDelete(object("c", nil))
	h.OnAdd("nonsense", false)
	h.OnDelete("nonsense")
	if r.Len() != 0 || len(r.Invalid()) != 0 {
		t.Errorf("%d in force, %v", r.Len(), r.Invalid())
	}
}

// fakeInformer registers a handler that has synced once told.
type fakeInformer struct{ synced bool }

func (f *fakeInformer) AddEventHandler(cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	return fakeRegistration{cache.ResourceEventHandlerRegistration(nil), f}, nil
}

type fakeRegistration struct {
	cache.ResourceEventHandlerRegistration
	f *fakeInformer
}

func (r fakeRegistration) HasSynced() bool { return r.f.synced }

func TestFollow(t *testing.T) {
	r, f := NewRegistry(RegistryOptions{}), &fakeInformer{}
	if err := r.Follow(f); err != nil {
		t.Fatal(err)
	}
	if r.HasSynced() {
		t.Error("synced before the informer")
	}
	f.synced = true
	if !r.HasSynced() {
		t.Error("not synced with the informer")
	}
	if r.Follow(f) == nil {
		t.Error("two informers are followed")
	}
}
