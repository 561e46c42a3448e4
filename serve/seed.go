package serve

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/component-helpers/auth/rbac/reconciliation"
	"k8s.io/klog/v2"
	scheduling "k8s.io/kubernetes/pkg/apis/scheduling/v1"
	"k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac/bootstrappolicy"
	"k8s.io/utils/clock"

	"github.com/gatehouse-io/gatehouse/serve/pki"
)

// AdminBinding is the ClusterRoleBinding that gives the administrator's group
// cluster-admin. Deleting it takes the power away; it is not made again.
const AdminBinding = pki.AdminGroup

// seeder writes the RBAC objects every cluster begins with straight into etcd,
// before the API server reads the first of them.
//
// Upstream does the same work after the server has started, by some 400
// requests one after the other behind a one-second poll
// (pkg/registry/rbac/rest/storage_rbac.go, PostStartHook rbac/bootstrap-roles),
// and reports ready only then. The rules for what is there already are
// upstream's: missing permissions and subjects are added, nothing is taken
// away, an object annotated rbac.authorization.kubernetes.io/autoupdate=false is
// left as it is, and a binding to another role is made again.
type seeder struct {
	client *clientv3.Client
	prefix string // of every key, such as /registry
	clock  clock.PassiveClock
	codec  runtime.Serializer
}

func newSeeder(client *clientv3.Client, prefix string, clock clock.PassiveClock) *seeder {
	return &seeder{client: client, prefix: prefix, clock: clock, codec: protobuf.NewSerializer(scheme.Scheme, scheme.Scheme)}
}

// stored is what etcd holds under a key.
type stored struct {
	revision int64
	object   runtime.Object
}

// ensureRBAC writes what is missing. bindMasters adds upstream's binding of
// system:masters to cluster-admin.
func (s *seeder) ensureRBAC(ctx context.Context, bindMasters bool) error {
	var wanted []runtime.Object
	for _, r := range append(bootstrappolicy.ClusterRoles(), bootstrappolicy.ControllerRoles()...) {
		wanted = append(wanted, &r)
	}
	for _, b := range append(bootstrappolicy.ClusterRoleBindings(), bootstrappolicy.ControllerRoleBindings()...) {
		if b.Name == "cluster-admin" && !bindMasters {
			continue
		}
		wanted = append(wanted, &b)
	}
	for _, roles := range bootstrappolicy.NamespaceRoles() {
		for _, r := range roles {
			wanted = append(wanted, &r)
		}
	}
	for _, bindings := range bootstrappolicy.NamespaceRoleBindings() {
		for _, b := range bindings {
			wanted = append(wanted, &b)
		}
	}
	wanted = append(wanted, kubeletClientBinding())

	var writes []clientv3.Op
	var conditions []clientv3.Cmp
	existing, err := s.readRBAC(ctx)
	if err != nil {
		return err
	}
	// The first start is known by there being no roles at all: an administrator
	// who has deleted the binding since must not find it again.
	if len(existing) == 0 {
		// First of all, so that a crash in between does not pass for a deletion.
		wanted = slices.Insert(wanted, 0, runtime.Object(adminBinding()))
	}
	if left, ok := existing[path.Join(s.prefix, "clusterrolebindings", "cluster-admin")]; ok && !bindMasters {
		if b, ok := left.object.(*rbacv1.ClusterRoleBinding); ok && slices.ContainsFunc(b.Subjects, func(subject rbacv1.Subject) bool { return subject.Name == user.SystemPrivilegedGroup }) {
			klog.Warning("ClusterRoleBinding cluster-admin still gives the group system:masters every permission; delete it if that is not meant")
		}
	}
	for _, want := range wanted {
		key := s.key(want)
		have := existing[key]
		object, err := reconcile(want, have.object)
		if err != nil {
			return fmt.Errorf("seed %s: %w", key, err)
		}
		if object == nil {
			continue
		}
		data, err := s.encode(object)
		if err != nil {
			return err
		}
		writes = append(writes, clientv3.OpPut(key, string(data)))
		// Another replica may be seeding too: whoever comes second writes nothing.
		conditions = append(conditions, clientv3.Compare(clientv3.ModRevision(key), "=", have.revision))
	}
	const most = 100 // operations in one transaction; etcd allows 128
	for len(writes) > 0 {
		n := min(most, len(writes))
		answer, err := s.client.Txn(ctx).If(conditions[:n]...).Then(writes[:n]...).Commit()
		if err != nil {
			return fmt.Errorf("seed roles: %w", err)
		}
		if !answer.Succeeded {
			klog.V(2).Info("another replica has changed the roles meanwhile; reading them again")
			return s.ensureRBAC(ctx, bindMasters)
		}
		writes, conditions = writes[n:], conditions[n:]
	}
	return nil
}

// refuseLostKey refuses a key file that was only just made beside a store that
// holds what another key encrypted, and takes it away again.
func (s *seeder) refuseLostKey(ctx context.Context, keyFile string) error {
	for _, resource := range []string{"secrets", "configmaps"} {
		answer, err := s.client.Get(ctx, path.Join(s.prefix, resource)+"/", clientv3.WithPrefix(), clientv3.WithCountOnly())
		if err != nil {
			return fmt.Errorf("read %s: %w", resource, err)
		}
		if answer.Count == 0 {
			continue
		}
		if err := os.Remove(keyFile); err != nil {
			return fmt.Errorf("take back key file: %w", err)
		}
		return &StartError{
			Problem: fmt.Sprintf("encryption key file %s is missing, and the store holds %d %s that need it", keyFile, answer.Count, resource),
			Mend:    "restore the file from a backup; a further replica starts with copies of the first one's folders pki and secret",
		}
	}
	return nil
}

// ensureBasics writes the namespaces and priority classes every cluster has.
// The server's own start-up otherwise waits for them: most of it fails and is
// tried again until kube-system is there, and readiness hangs on the classes,
// which upstream looks after a one-second poll
// (pkg/registry/scheduling/rest/storage_scheduling.go).
func (s *seeder) ensureBasics(ctx context.Context) error {
	var objects []runtime.Object
	for _, name := range []string{metav1.NamespaceSystem, metav1.NamespacePublic, corev1.NamespaceNodeLease, metav1.NamespaceDefault} {
		objects = append(objects, &corev1.Namespace{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelMetadataName: name}},
			Spec:       corev1.NamespaceSpec{Finalizers: []corev1.FinalizerName{corev1.FinalizerKubernetes}},
			Status:     corev1.NamespaceStatus{Phase: corev1.NamespaceActive},
		})
	}
	for _, class := range scheduling.SystemPriorityClasses() {
		objects = append(objects, class.DeepCopy())
	}
	for _, object := range objects {
		data, err := s.encode(object)
		if err != nil {
			return err
		}
		key := s.key(object)
		_, err = s.client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", 0)).
			Then(clientv3.OpPut(key, string(data))).Commit()
		if err != nil {
			return fmt.Errorf("seed %s: %w", key, err)
		}
	}
	return nil
}

// key is where the API server's registry keeps the object.
func (s *seeder) key(obj runtime.Object) string {
	accessor, _ := meta.Accessor(obj)
	return path.Join(s.prefix, resourceOf(obj), accessor.GetNamespace(), accessor.GetName())
}

func resourceOf(obj runtime.Object) string {
	switch obj.(type) {
	case *corev1.Namespace:
		return "namespaces"
	case *schedulingv1.PriorityClass:
		return "priorityclasses"
	case *rbacv1.ClusterRole:
		return "clusterroles"
	case *rbacv1.ClusterRoleBinding:
		return "clusterrolebindings"
	case *rbacv1.Role:
		return "roles"
	}
	return "rolebindings"
}

// readRBAC reads the four kinds in one go.
func (s *seeder) readRBAC(ctx context.Context) (map[string]stored, error) {
	found := map[string]stored{}
	for _, resource := range []string{"clusterroles", "clusterrolebindings", "roles", "rolebindings"} {
		answer, err := s.client.Get(ctx, path.Join(s.prefix, resource)+"/", clientv3.WithPrefix())
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", resource, err)
		}
		for _, kv := range answer.Kvs {
			obj, _, err := scheme.Codecs.UniversalDeserializer().Decode(kv.Value, nil, nil)
			if err != nil {
				return nil, fmt.Errorf("read %s: %w", kv.Key, err)
			}
			found[string(kv.Key)] = stored{revision: kv.ModRevision, object: obj}
		}
	}
	return found, nil
}

func (s *seeder) encode(obj runtime.Object) ([]byte, error) {
	accessor, err := meta.Accessor(obj)
	if err != nil {
		return nil, err
	}
	if accessor.GetUID() == "" {
		accessor.SetUID(types.UID(uuid.NewUUID()))
		accessor.SetCreationTimestamp(metav1.NewTime(s.clock.Now().UTC().Truncate(1e9)))
	}
	kinds, _, err := scheme.Scheme.ObjectKinds(obj)
	if err != nil {
		return nil, err
	}
	obj.GetObjectKind().SetGroupVersionKind(kinds[0])
	var out bytes.Buffer
	if err := s.codec.Encode(obj, &out); err != nil {
		return nil, fmt.Errorf("encode %s: %w", accessor.GetName(), err)
	}
	return out.Bytes(), nil
}

// reconcile returns the object to write so that have, which may be nil, grants at
// least what want does, or nil where it does already. Upstream's library
// decides, over what was read instead of over requests.
func reconcile(want, have runtime.Object) (runtime.Object, error) {
	m := &seedMemory{have: have}
	var err error
	switch w := want.(type) {
	case *rbacv1.ClusterRole:
		o := reconciliation.ReconcileRoleOptions{Role: reconciliation.ClusterRoleRuleOwner{ClusterRole: w}, Client: roleMemory{m}, Confirm: true}
		_, err = o.Run()
	case *rbacv1.Role:
		o := reconciliation.ReconcileRoleOptions{Role: reconciliation.RoleRuleOwner{Role: w}, Client: roleMemory{m}, Confirm: true}
		_, err = o.Run()
	case *rbacv1.ClusterRoleBinding:
		o := reconciliation.ReconcileRoleBindingOptions{RoleBinding: reconciliation.ClusterRoleBindingAdapter{ClusterRoleBinding: w}, Client: bindingMemory{m}, Confirm: true}
		_, err = o.Run()
	case *rbacv1.RoleBinding:
		o := reconciliation.ReconcileRoleBindingOptions{RoleBinding: reconciliation.RoleBindingAdapter{RoleBinding: w}, Client: bindingMemory{m}, Confirm: true}
		_, err = o.Run()
	}
	return m.write, err
}

// seedMemory stands where upstream's reconciliation expects a client: it answers
// with the one object that was read, and keeps the one that is to be written.
type seedMemory struct{ have, write runtime.Object }

func (m *seedMemory) missing() error {
	if m.have == nil {
		return apierrors.NewNotFound(rbacv1.Resource("any"), "")
	}
	return nil
}

type roleMemory struct{ *seedMemory }

func (m roleMemory) Get(_, _ string) (reconciliation.RuleOwner, error) {
	switch have := m.have.(type) {
	case *rbacv1.ClusterRole:
		return reconciliation.ClusterRoleRuleOwner{ClusterRole: have}, nil
	case *rbacv1.Role:
		return reconciliation.RoleRuleOwner{Role: have}, nil
	}
	return nil, m.missing()
}

func (m roleMemory) Create(r reconciliation.RuleOwner) (reconciliation.RuleOwner, error) {
	return m.Update(r)
}

func (m roleMemory) Update(r reconciliation.RuleOwner) (reconciliation.RuleOwner, error) {
	m.write = r.GetObject()
	return r, nil
}

type bindingMemory struct{ *seedMemory }

func (m bindingMemory) Get(_, _ string) (reconciliation.RoleBinding, error) {
	switch have := m.have.(type) {
	case *rbacv1.ClusterRoleBinding:
		return reconciliation.ClusterRoleBindingAdapter{ClusterRoleBinding: have}, nil
	case *rbacv1.RoleBinding:
		return reconciliation.RoleBindingAdapter{RoleBinding: have}, nil
	}
	return nil, m.missing()
}

// Delete comes before Create where a binding leads to another role; the Create
// then overwrites the key.
func (m bindingMemory) Delete(_, _ string, _ types.UID) error {
	m.have = nil
	return nil
}

func (m bindingMemory) Create(b reconciliation.RoleBinding) (reconciliation.RoleBinding, error) {
	return m.Update(b)
}

func (m bindingMemory) Update(b reconciliation.RoleBinding) (reconciliation.RoleBinding, error) {
	m.write = b.GetObject()
	return b, nil
}

func adminBinding() *rbacv1.ClusterRoleBinding {
	return groupBinding(AdminBinding, "cluster-admin", pki.AdminGroup)
}

func kubeletClientBinding() *rbacv1.ClusterRoleBinding {
	return groupBinding(pki.KubeletClientGroup, "system:kubelet-api-admin", pki.KubeletClientGroup)
}

func groupBinding(name, role, group string) *rbacv1.ClusterRoleBinding {
	return &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: group}},
	}
}
