package serve

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac/bootstrappolicy"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/yaml"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

// startTestEtcd starts a plain etcd on a unix socket. The caller closes it.
func startTestEtcd(t *testing.T) *embed.Etcd {
	t.Helper()
	dir := t.TempDir()
	cfg := embed.NewConfig()
	cfg.Dir = filepath.Join(dir, "etcd")
	cfg.LogLevel = "error"
	socket := url.URL{Scheme: "unix", Path: filepath.Join(dir, "s")}
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls, cfg.ListenPeerUrls = []url.URL{socket}, []url.URL{socket}, nil
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		t.Fatal(err)
	}
	<-e.Server.ReadyNotify()
	return e
}

func testEtcd(t *testing.T) *clientv3.Client {
	t.Helper()
	e := startTestEtcd(t)
	t.Cleanup(e.Close)
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{e.Config().ListenClientUrls[0].String()}, DialTimeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func testSeeder(t *testing.T) *seeder {
	return newSeeder(testEtcd(t), "/registry", testclock.NewFakePassiveClock(time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)))
}

func (s *seeder) read(t *testing.T) map[string]stored {
	t.Helper()
	found, err := s.readRBAC(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func (s *seeder) write(t *testing.T, obj runtime.Object) {
	t.Helper()
	data, err := s.encode(obj)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.Put(context.Background(), s.key(obj), string(data)); err != nil {
		t.Fatal(err)
	}
}

func (s *seeder) seed(t *testing.T, masters bool) map[string]stored {
	t.Helper()
	if err := s.ensureRBAC(context.Background(), masters); err != nil {
		t.Fatal(err)
	}
	return s.read(t)
}

// What is written is upstream's bootstrap policy, object for object.
func TestSeedIsUpstreamsBootstrapPolicy(t *testing.T) {
	s := testSeeder(t)
	found := s.seed(t, true)
	want := map[string]any{}
	for _, r := range append(bootstrappolicy.ClusterRoles(), bootstrappolicy.ControllerRoles()...) {
		want[s.key(&r)] = r.Rules
	}
	for _, b := range append(bootstrappolicy.ClusterRoleBindings(), bootstrappolicy.ControllerRoleBindings()...) {
		want[s.key(&b)] = b.Subjects
	}
	for _, roles := range bootstrappolicy.NamespaceRoles() {
		for _, r := range roles {
			want[s.key(&r)] = r.Rules
		}
	}
	for _, bindings := range bootstrappolicy.NamespaceRoleBindings() {
		for _, b := range bindings {
			want[s.key(&b)] = b.Subjects
		}
	}
	for _, own := range []*rbacv1.ClusterRoleBinding{adminBinding(), kubeletClientBinding()} {
		want[s.key(own)] = own.Subjects
	}
	if len(found) != len(want) {
		t.Errorf("%d objects are stored, want %d", len(found), len(want))
	}
	for key, grants := range want {
		var have any
		switch o := found[key].object.(type) {
		case *rbacv1.ClusterRole:
			have = o.Rules
		case *rbacv1.Role:
			have = o.Rules
		case *rbacv1.ClusterRoleBinding:
			have = o.Subjects
		case *rbacv1.RoleBinding:
			have = o.Subjects
		}
		if !equality.Semantic.DeepEqual(have, grants) {
			t.Errorf("%s grants %v, want %v", key, have, grants)
		}
	}
}

func TestSeedAgainWritesNothing(t *testing.T) {
	s := testSeeder(t)
	before := s.seed(t, false)
	for key, after := range s.seed(t, false) {
		if after.revision != before[key].revision {
			t.Errorf("%s was written again", key)
		}
	}
}

func TestSeedMendsAndKeeps(t *testing.T) {
	s := testSeeder(t)
	first := s.seed(t, false)
	const prefix = "/registry/clusterroles/"
	view := first[prefix+"system:node-problem-detector"].object.(*rbacv1.ClusterRole).DeepCopy()
	extra := rbacv1.PolicyRule{APIGroups: []string{"shop.example.org"}, Resources: []string{"carts"}, Verbs: []string{"get"}}
	wanted := len(view.Rules)
	view.Rules = append(view.Rules[1:], extra)
	s.write(t, view)

	protected := first[prefix+"system:kube-dns"].object.(*rbacv1.ClusterRole).DeepCopy()
	protected.Annotations = map[string]string{rbacv1.AutoUpdateAnnotationKey: "false"}
	protected.Rules = nil
	s.write(t, protected)

	const bindings = "/registry/clusterrolebindings/"
	redirected := first[bindings+"system:kube-dns"].object.(*rbacv1.ClusterRoleBinding).DeepCopy()
	redirected.RoleRef.Name = "cluster-admin"
	s.write(t, redirected)

	if _, err := s.client.Delete(context.Background(), bindings+AdminBinding); err != nil {
		t.Fatal(err)
	}

	after := s.seed(t, false)
	rules := after[prefix+"system:node-problem-detector"].object.(*rbacv1.ClusterRole).Rules
	if len(rules) != wanted+1 || !equality.Semantic.DeepEqual(rules[wanted-1], extra) {
		t.Errorf("a removed rule is not back, or an added one is gone: %v", rules)
	}
	if rules := after[prefix+"system:kube-dns"].object.(*rbacv1.ClusterRole).Rules; len(rules) != 0 {
		t.Errorf("a protected role was changed: %v", rules)
	}
	if role := after[bindings+"system:kube-dns"].object.(*rbacv1.ClusterRoleBinding).RoleRef.Name; role != "system:kube-dns" {
		t.Errorf("a binding still leads to %s", role)
	}
	if _, back := after[bindings+AdminBinding]; back {
		t.Error("the administrator's binding, once deleted, is made again")
	}
}

func TestSeedBindsMastersOnlyWhenAsked(t *testing.T) {
	const binding = "/registry/clusterrolebindings/cluster-admin"
	s := testSeeder(t)
	if _, there := s.seed(t, false)[binding]; there {
		t.Error("system:masters is bound though nobody asked")
	}
	if _, there := s.seed(t, true)[binding]; !there {
		t.Error("system:masters is not bound though asked for")
	}
}

func TestSeedKeepsNamespacesAsTheyAre(t *testing.T) {
	s := testSeeder(t)
	ctx := context.Background()
	if err := s.ensureBasics(ctx); err != nil {
		t.Fatal(err)
	}
	before, err := s.client.Get(ctx, "/registry/", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	if before.Count != 6 {
		t.Errorf("%d objects, want 4 namespaces and 2 priority classes", before.Count)
	}
	if err := s.ensureBasics(ctx); err != nil {
		t.Fatal(err)
	}
	after, _ := s.client.Get(ctx, "/registry/", clientv3.WithPrefix())
	if after.Header.Revision != before.Header.Revision {
		t.Error("the second start wrote again")
	}
}

func TestSeedUpdatesTheSchemaOfItsOwnKinds(t *testing.T) {
	s := testSeeder(t)
	ctx := context.Background()
	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.Unmarshal(v1alpha1.CRDs()[0], crd); err != nil {
		t.Fatal(err)
	}
	crd.Spec.Versions[0].AdditionalPrinterColumns = nil // an older release
	apiextensionsv1.SetObjectDefaults_CustomResourceDefinition(crd)
	for _, step := range []func() error{
		func() error { return s.ensureCRD(ctx, crd) },
		func() error { return s.ensureCRDs(ctx, v1alpha1.CRDs()) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	key := "/registry/apiextensions.k8s.io/customresourcedefinitions/" + crd.Name
	answer, err := s.client.Get(ctx, key)
	if err != nil || answer.Count != 1 {
		t.Fatalf("read CRD: %v, %d found", err, answer.Count)
	}
	stored := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.Unmarshal(answer.Kvs[0].Value, stored); err != nil {
		t.Fatal(err)
	}
	if len(stored.Spec.Versions[0].AdditionalPrinterColumns) == 0 || stored.Generation != 2 {
		t.Errorf("the schema was not brought up to date: generation %d", stored.Generation)
	}
	if err := s.ensureCRDs(ctx, v1alpha1.CRDs()); err != nil {
		t.Fatal(err)
	}
	again, _ := s.client.Get(ctx, key)
	if again.Kvs[0].ModRevision != answer.Kvs[0].ModRevision {
		t.Error("an unchanged schema was written again")
	}
}

func TestAFreshKeyBesideOldSecretsIsRefused(t *testing.T) {
	s := testSeeder(t)
	key := filepath.Join(t.TempDir(), "encryption.yaml")
	write := func() {
		if err := os.WriteFile(key, []byte("key"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write()
	if err := s.refuseLostKey(t.Context(), key); err != nil {
		t.Errorf("an empty store: %v", err)
	}
	if _, err := s.client.Put(t.Context(), "/registry/secrets/default/s", "sealed"); err != nil {
		t.Fatal(err)
	}
	err := s.refuseLostKey(t.Context(), key)
	if err == nil || !strings.Contains(err.Error(), key+" is missing, and the store holds 1 secrets") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(key); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the fresh key is still there: %v", err)
	}
}

func TestAStoreThatFailsEndsTheWait(t *testing.T) {
	stored := make(chan error, 1)
	failed := errors.New("the log is damaged")
	stored <- failed
	_, err := whileStored(stored, func(await func() error) (*chain, error) {
		select {} // upstream's builders, waiting for an etcd that will not come
	})
	if !errors.Is(err, failed) {
		t.Errorf("got %v", err)
	}
}

func TestBuildingWaitsForTheStore(t *testing.T) {
	stored := make(chan error, 1)
	go func() { stored <- nil }()
	want := &chain{}
	got, err := whileStored(stored, func(await func() error) (*chain, error) { return want, await() })
	if got != want || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
}
