package attach

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/check/scenario"
	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/test/e2e/server"
	"github.com/gatehouse-io/gatehouse/test/tally"
)

// TestScenariosOnAStockCluster makes the requests of every scenario, as dry runs, of a
// stock kube-apiserver that asks the webhooks of Gatehouse. What a client is told, and
// the object it gets back, must be what the scenario wants.
func TestScenariosOnAStockCluster(t *testing.T) {
	s := newStock(t)
	gatehouse, err := server.Binary()
	passes(t, err)
	address, health := server.FreeAddress(t), server.FreeAddress(t)
	settings := s.path("attach.yaml")
	write(t, settings, []byte(`apiVersion: gatehouse.io/v1alpha1
kind: AttachConfiguration
cluster: {kubeconfig: `+s.path("admin.kubeconfig")+`}
listen: "`+address+`"
healthListen: "`+health+`"
tls: {dataDir: `+s.path("attach")+`}
admission: {webhooks: Managed, url: "https://`+address+`"}
`))
	launch(t, gatehouse, "attach", "--config", settings)
	s.serve("--authorization-mode=RBAC", "--allow-privileged=true")
	printed := printManifests(t, "--data-dir", s.path("attach"), "--server", "https://"+address, "--folder", s.dir)
	if out, err := s.kubectl(s.path("admin.kubeconfig"), printed.text, "apply", "-f", "-"); err != nil {
		t.Fatalf("apply the manifests: %v\n%s", err, out)
	}
	server.Eventually(t, 60*time.Second, func(context.Context) error { return ask(health, "/readyz?verbose", http.StatusOK) })

	config := &rest.Config{Host: "https://" + s.address, Timeout: 15 * time.Second, TLSClientConfig: rest.TLSClientConfig{
		CAFile: s.path("ca.crt"), CertFile: s.path("admin.crt"), KeyFile: s.path("admin.key"),
	}}
	objects := server.ObjectsOf(t, config)
	admin, err := kubernetes.NewForConfig(config)
	passes(t, err)
	_, err = admin.RbacV1().ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "writer"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"create", "get", "update", "delete"}}}}, metav1.CreateOptions{})
	passes(t, err)

	files, err := filepath.Glob("../../scenarios/*.txtar")
	passes(t, err)
	passed := 0
	for _, file := range files {
		if t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			passes(t, err)
			sc, err := scenario.Parse(file, data)
			passes(t, err)
			objects.Apply(t, sc.Cluster...)
			for i := range sc.Requests {
				spec := &sc.Requests[i].Spec
				_, err := admin.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
					ObjectMeta: metav1.ObjectMeta{Name: "writer:" + spec.User}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "writer"},
					Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: spec.User}}}, metav1.CreateOptions{})
				if err != nil && !apierrors.IsAlreadyExists(err) {
					t.Fatal(err)
				}
				if spec.OldObject != nil {
					old := &unstructured.Unstructured{}
					passes(t, old.UnmarshalJSON(spec.OldObject.Raw))
					objects.Apply(t, old)
				}
			}
			for _, p := range sc.Policies {
				objects.Apply(t, p.Unstructured)
			}
			server.Eventually(t, time.Minute, func(ctx context.Context) error {
				for i := range sc.Requests {
					r := &sc.Requests[i]
					if err := answered(ctx, config, objects, r); err != nil {
						return fmt.Errorf("request%s: %w", r.Name, err)
					}
				}
				return nil
			})
		}) {
			passed++
		}
	}
	tally.Of(t, "scenarios on a stock kube-apiserver with attach", passed, len(files))
}

// told collects the warnings of a client.
type told struct {
	mu  sync.Mutex
	all []string
}

// HandleWarningHeader implements rest.WarningHandler.
func (w *told) HandleWarningHeader(_ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, text)
}

// answered makes a request, and holds what comes back against what is wanted.
func answered(ctx context.Context, config *rest.Config, objects *server.Objects, r *scenario.Request) error {
	warned := &told{}
	config = rest.CopyConfig(config)
	config.Impersonate = rest.ImpersonationConfig{UserName: r.Spec.User, UID: r.Spec.UID, Groups: r.Spec.Groups}
	config.WarningHandler = warned
	made, err := request(ctx, config, objects, &r.Spec)
	refusal := apierrors.APIStatus(nil)
	if err != nil && !errors.As(err, &refusal) {
		return err
	}
	verdict, lines, _ := strings.Cut(r.Want, "\n")
	message := ""
	switch {
	case verdict == "DENIED" && err == nil:
		return errors.New("it passes")
	case verdict == "DENIED":
		message = gate.Plain(refusal.Status().Message)
	case err != nil && !apierrors.IsNotFound(err): // that Pod is not there; admission is asked before
		return fmt.Errorf("it is refused: %w", err)
	}
	refused, found := 0, 0
	for line := range strings.Lines(lines) {
		what, text, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		source, reason, _ := strings.Cut(text, ": ")
		// Policies in CEL are the API server's own to enforce: it has words of its own
		// around the message, and refuses with the first denial alone.
		name, native := strings.CutPrefix(source, "ValidatingAdmissionPolicyBinding ")
		says := text
		if native {
			says = reason
		}
		switch what {
		case "deny":
			refused++
			switch {
			case strings.Contains(message, says) && (!native || strings.Contains(message, "'"+name+"'")):
				found++
			case !native:
				return fmt.Errorf("the refusal %q lacks %q", message, says)
			}
		case "warn":
			if all := strings.Join(warned.all, "\n"); !strings.Contains(all, says) {
				return fmt.Errorf("the warnings %q lack %q", all, says)
			}
		case "mutate":
			if verdict == "ALLOWED" {
				_, later, _ := strings.Cut(lines, line)
				if err := patched(made, reason, later); err != nil {
					return err
				}
			}
		}
	}
	if refused > 0 && found == 0 {
		return fmt.Errorf("the refusal is %q, and none of\n%s", message, lines)
	}
	return nil
}

// request makes the request of a review as a dry run.
func request(ctx context.Context, config *rest.Config, objects *server.Objects, spec *v1alpha1.RequestReviewSpec) (*unstructured.Unstructured, error) {
	a := spec.ResourceAttributes
	config.APIPath, config.GroupVersion = "/apis", nil
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	client, err := rest.UnversionedRESTClientFor(config)
	if err != nil {
		return nil, err
	}
	version := a.Version
	path := "/apis/" + a.Group + "/" + version
	if a.Group == "" {
		path = "/api/" + version
	}
	if a.Namespace != "" && a.Resource != "namespaces" {
		path += "/namespaces/" + a.Namespace
	}
	path += "/" + a.Resource
	method := map[string]string{"create": http.MethodPost, "update": http.MethodPut, "delete": http.MethodDelete, "get": http.MethodGet}[a.Verb]
	if method == "" {
		return nil, fmt.Errorf("the verb %s is not known here", a.Verb)
	}
	if a.Verb != "create" || a.Subresource != "" {
		path += "/" + a.Name
	}
	if a.Subresource != "" {
		path += "/" + a.Subresource
	}
	req := client.Verb(method).AbsPath(path).Param("dryRun", metav1.DryRunAll)
	if a.Subresource == "exec" {
		var options struct {
			Command            []string
			Stdin, Stdout, TTY bool
			Container          string
		}
		if spec.Object != nil {
			if err := json.Unmarshal(spec.Object.Raw, &options); err != nil {
				return nil, err
			}
		}
		req = client.Verb(method).AbsPath(path).Param("stdin", fmt.Sprint(options.Stdin)).Param("container", options.Container)
		for _, word := range options.Command {
			req = req.Param("command", word)
		}
	} else if spec.Object != nil {
		req = req.SetHeader("Content-Type", "application/json").Body(spec.Object.Raw)
	}
	data, err := req.Do(ctx).Raw()
	if err != nil {
		status := &metav1.Status{}
		if json.Unmarshal(data, status) == nil && status.Kind == "Status" && status.Status == metav1.StatusFailure {
			return nil, &apierrors.StatusError{ErrStatus: *status}
		}
		return nil, err
	}
	made := &unstructured.Unstructured{}
	return made, made.UnmarshalJSON(data)
}

// patched reports where an object does not have what a patch would put into it.
func patched(o *unstructured.Unstructured, patch, later string) error {
	var operations []struct {
		Op, Path string
		Value    any
	}
	if err := json.Unmarshal([]byte(patch), &operations); err != nil {
		return err
	}
	data, err := o.MarshalJSON()
	if err != nil {
		return err
	}
	for _, op := range operations {
		list, appended := strings.CutSuffix(op.Path, "/-")
		if op.Op == "remove" || !appended && strings.Contains(later, `"path":"`+op.Path+`"`) {
			continue // what is gone, or what a later mutation has overwritten, is not there to see
		}
		if appended {
			if items := at(o.Object, list); !slices.ContainsFunc(items, func(item any) bool { return reflect.DeepEqual(item, op.Value) }) {
				return fmt.Errorf("%s has %v, and lacks %v", list, items, op.Value)
			}
			continue
		}
		test, err := json.Marshal([]map[string]any{{"op": "test", "path": op.Path, "value": op.Value}})
		if err != nil {
			return err
		}
		compiled, err := jsonpatch.DecodePatch(test)
		if err != nil {
			return err
		}
		if _, err := compiled.Apply(data); err != nil && !reflect.DeepEqual(op.Value, map[string]any{}) {
			return fmt.Errorf("%s is not %v: %w", op.Path, op.Value, err)
		}
	}
	return nil
}

// at is the list that a JSON pointer leads to.
func at(value any, pointer string) []any {
	for part := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		switch v := value.(type) {
		case map[string]any:
			value = v[strings.NewReplacer("~1", "/", "~0", "~").Replace(part)]
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i >= len(v) {
				return nil
			}
			value = v[i]
		}
	}
	items, _ := value.([]any)
	return items
}
