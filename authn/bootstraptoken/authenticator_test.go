package bootstraptoken

import (
	"context"
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/kubernetes/plugin/pkg/auth/authenticator/token/bootstrap"
	testclock "k8s.io/utils/clock/testing"
)

const good = "abcdef.0123456789abcdef"

// lister holds these Secrets.
func lister(t testing.TB, secrets ...*corev1.Secret) corev1listers.SecretNamespaceLister {
	t.Helper()
	index := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	for _, s := range secrets {
		if err := index.Add(s); err != nil {
			t.Fatal(err)
		}
	}
	return corev1listers.NewSecretLister(index).Secrets(metav1.NamespaceSystem)
}

// secret is one that lets good in, changed.
func secret(change func(*corev1.Secret)) *corev1.Secret {
	s := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: "bootstrap-token-abcdef"},
		Type:       SecretType,
		Data: map[string][]byte{
			keyID:     []byte("abcdef"),
			keySecret: []byte("0123456789abcdef"),
			keyUsage:  []byte("true"),
		},
	}
	if change != nil {
		change(s)
	}
	return s
}

func set(key, value string) func(*corev1.Secret) {
	return func(s *corev1.Secret) { s.Data[key] = []byte(value) }
}

// cases are the Secrets and tokens that decide one thing each.
var cases = []struct {
	name   string
	change func(*corev1.Secret)
	token  string
	groups []string // nil is refused
}{
	{"good", nil, good, []string{"system:bootstrappers"}},
	{"groups", set(keyGroups, "system:bootstrappers:b,system:bootstrappers:a,system:bootstrappers:b"), good, []string{"system:bootstrappers", "system:bootstrappers:a", "system:bootstrappers:b"}},
	{"foreign group", set(keyGroups, "system:masters"), good, nil},
	{"one foreign group", set(keyGroups, "system:bootstrappers:a,system:masters"), good, nil},
	{"group with a space", set(keyGroups, "system:bootstrappers:a, system:bootstrappers:b"), good, nil},
	{"trailing comma", set(keyGroups, "system:bootstrappers:a,"), good, nil},
	{"group with a line break", set(keyGroups, "system:bootstrappers:a\n"), good, nil},
	{"longest group", set(keyGroups, "system:bootstrappers:"+strings.Repeat("a", 256)), good, []string{"system:bootstrappers", "system:bootstrappers:" + strings.Repeat("a", 256)}},
	{"too long a group", set(keyGroups, "system:bootstrappers:"+strings.Repeat("a", 257)), good, nil},
	{"other secret", set(keySecret, "0123456789abcdee"), good, nil},
	{"empty secret", set(keySecret, ""), good, nil},
	{"other id", set(keyID, "abcdeg"), good, nil},
	{"no id", func(s *corev1.Secret) { delete(s.Data, keyID) }, good, nil},
	{"no usage", func(s *corev1.Secret) { delete(s.Data, keyUsage) }, good, nil},
	{"usage in capitals", set(keyUsage, "True"), good, nil},
	{"another type", func(s *corev1.Secret) { s.Type = corev1.SecretTypeOpaque }, good, nil},
	{"no data", func(s *corev1.Secret) { s.Data = nil }, good, nil},
	{"being deleted", func(s *corev1.Secret) { s.DeletionTimestamp = &metav1.Time{Time: time.Now()} }, good, nil},
	{"expires later", set(keyExpiration, "2999-01-01T00:00:00Z"), good, []string{"system:bootstrappers"}},
	{"expired", set(keyExpiration, "2001-01-01T00:00:00Z"), good, nil},
	{"no time", set(keyExpiration, "tomorrow"), good, nil},
	{"a day", set(keyExpiration, "2999-01-01"), good, nil},
	{"another namespace", func(s *corev1.Secret) { s.Namespace = "default" }, good, nil},
	{"empty token", nil, "", nil},
	{"capitals", nil, "ABCDEF.0123456789abcdef", nil},
	{"short", nil, "abcdef.0123456789abcde", nil},
	{"line break after it", nil, good + "\n", nil},
	{"something else", nil, "eyJhbGciOi.J9.x", nil},
}

func TestVerdicts(t *testing.T) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			resp, ok, err := New(lister(t, secret(c.change)), Options{}).AuthenticateToken(context.Background(), c.token)
			if err != nil || ok != (c.groups != nil) {
				t.Fatalf("got %v, %v", ok, err)
			}
			if ok && (resp.User.GetName() != "system:bootstrap:abcdef" || !reflect.DeepEqual(resp.User.GetGroups(), c.groups)) {
				t.Errorf("got %v", resp.User)
			}
			agree(t, lister(t, secret(c.change)), c.token)
		})
	}
}

// agree compares with upstream's authenticator.
func agree(t *testing.T, secrets corev1listers.SecretNamespaceLister, token string) {
	t.Helper()
	want, wantOK, wantErr := bootstrap.NewTokenAuthenticator(secrets).AuthenticateToken(context.Background(), token)
	got, gotOK, gotErr := New(secrets, Options{}).AuthenticateToken(context.Background(), token)
	if gotOK != wantOK || (gotErr == nil) != (wantErr == nil) || !reflect.DeepEqual(got, want) {
		t.Errorf("token %q: got %+v %v %v, upstream %+v %v %v", token, got, gotOK, gotErr, want, wantOK, wantErr)
	}
}

// TestAgreesWithUpstream puts several of the cases' changes together, at random.
func TestAgreesWithUpstream(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		s := secret(func(s *corev1.Secret) {
			for range random.IntN(3) {
				if change := cases[random.IntN(len(cases))].change; change != nil && s.Data != nil {
					change(s)
				}
			}
		})
		agree(t, lister(t, s), cases[random.IntN(len(cases))].token)
		agree(t, lister(t, s), good)
	}
}

func TestExpiresOnTheInstant(t *testing.T) {
	end := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	clock := testclock.NewFakeClock(end.Add(-time.Nanosecond))
	a := New(lister(t, secret(set(keyExpiration, end.Format(time.RFC3339)))), Options{Clock: clock})
	for _, want := range []bool{true, false} {
		if _, ok, _ := a.AuthenticateToken(context.Background(), good); ok != want {
			t.Errorf("at %v: got %v", clock.Now(), ok)
		}
		clock.SetTime(end)
	}
}

type failing struct {
	corev1listers.SecretNamespaceLister
}

func (failing) Get(string) (*corev1.Secret, error) { return nil, errors.New("no cache") }

func TestAnErrorHoldsNoSecret(t *testing.T) {
	_, ok, err := New(failing{}, Options{}).AuthenticateToken(context.Background(), good)
	if ok || err == nil || strings.Contains(err.Error(), "0123456789abcdef") {
		t.Errorf("got %v, %v", ok, err)
	}
}

func FuzzAgreesWithUpstream(f *testing.F) {
	f.Add(good, "abcdef", "0123456789abcdef", "true", "", "system:bootstrappers:a")
	f.Add(good, "abcdef", "0123456789abcdef", "true", "2999-01-01T00:00:00.5+01:00", "")
	f.Fuzz(func(t *testing.T, token, id, value, usage, expiration, groups string) {
		agree(t, lister(t, secret(func(s *corev1.Secret) {
			for key, v := range map[string]string{keyID: id, keySecret: value, keyUsage: usage, keyExpiration: expiration, keyGroups: groups} {
				s.Data[key] = []byte(v)
			}
		})), token)
	})
}
