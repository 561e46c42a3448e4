package gates

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

// patience is how long a controller or a cache may take to follow a change. It
// is long because the machine may be compiling at the same time.
const patience = 30 * time.Second

// namespace makes a namespace for one test, with labels KEY=VALUE, waits until
// pods can be created in it, and removes it after the test.
func namespace(t *testing.T, client kubernetes.Interface, labels ...string) string {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "t-", Labels: map[string]string{}}}
	for _, label := range labels {
		key, value, _ := strings.Cut(label, "=")
		ns.Labels[key] = value
	}
	ns, err := client.CoreV1().Namespaces().Create(t.Context(), ns, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = client.CoreV1().Namespaces().Delete(context.Background(), ns.Name, metav1.DeleteOptions{})
	})
	server.Eventually(t, patience, func(ctx context.Context) error {
		_, err := client.CoreV1().ServiceAccounts(ns.Name).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
	return ns.Name
}

// plainPod meets the baseline standard and not the restricted one.
func plainPod(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "example.org/app:1"}}},
	}
}

// restrictedPod meets the restricted standard.
func restrictedPod(name string) *corev1.Pod {
	pod := plainPod(name)
	pod.Spec.SecurityContext = &corev1.PodSecurityContext{
		RunAsNonRoot:   new(true),
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
	pod.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{
		AllowPrivilegeEscalation: new(false),
		Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}
	return pod
}

// privilegedPod meets no standard but privileged.
func privilegedPod(name string) *corev1.Pod {
	pod := plainPod(name)
	pod.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: new(true)}
	return pod
}

func configMap(name string, data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: data}
}

func opaque(name string, data map[string]string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, StringData: data}
}

// create is shorthand for the options of a plain create.
var create = metav1.CreateOptions{}

// passes fails the test where err is not nil.
func passes(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("refused: %v", err)
	}
}

// refused fails the test unless err is there, is of the kind that is says (such
// as apierrors.IsForbidden), and gives each of the reasons.
func refused(t *testing.T, err error, is func(error) bool, reasons ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("passed, and should have been refused")
	}
	if !is(err) {
		t.Errorf("refused in the wrong way: %v", err)
	}
	for _, reason := range reasons {
		if !strings.Contains(err.Error(), reason) {
			t.Errorf("refused with the wrong reason:\n  got   %v\n  want  %s", err, reason)
		}
	}
}

// notYet makes an error of a condition that is waited for.
func notYet(format string, args ...any) error { return fmt.Errorf(format, args...) }

// warned is a client and the warnings it has been given.
type warned struct {
	kubernetes.Interface
	mu   sync.Mutex
	list []string
}

// warnedClient collects the warnings of every answer.
func warnedClient(t *testing.T, config *rest.Config) *warned {
	t.Helper()
	w := &warned{}
	config = rest.CopyConfig(config)
	config.WarningHandler = w
	w.Interface = server.Client(t, config)
	return w
}

// HandleWarningHeader implements rest.WarningHandler.
func (w *warned) HandleWarningHeader(_ int, _ string, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = append(w.list, text)
}

// take returns the warnings since the last call.
func (w *warned) take() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := strings.Join(w.list, "\n")
	w.list = nil
	return text
}
