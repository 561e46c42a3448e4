package ordinary

import (
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	gateaudit "github.com/gatehouse-io/gatehouse/audit"
)

// client is somebody or something that makes requests.
type client struct {
	name    string
	groups  []string
	agent   string
	address string
	extra   map[string][]string
}

// with is the same client with another program.
func (c client) with(agent string) client {
	c.agent = agent
	return c
}

// kind is a resource, with its version.
type kind struct{ group, version, resource string }

func (k kind) path(ns, name, sub string) string {
	var b strings.Builder
	if k.group == "" {
		b.WriteString("/api/")
	} else {
		b.WriteString("/apis/" + k.group + "/")
	}
	b.WriteString(k.version)
	if ns != "" && k.resource != "namespaces" {
		b.WriteString("/namespaces/" + ns)
	}
	b.WriteString("/" + k.resource)
	if name != "" {
		b.WriteString("/" + name)
	}
	if sub != "" {
		b.WriteString("/" + sub)
	}
	return b.String()
}

// Kinds that many ask for.
var (
	pods        = kind{"", "v1", "pods"}
	nodes       = kind{"", "v1", "nodes"}
	secrets     = kind{"", "v1", "secrets"}
	configmaps  = kind{"", "v1", "configmaps"}
	services    = kind{"", "v1", "services"}
	namespaces  = kind{"", "v1", "namespaces"}
	accounts    = kind{"", "v1", "serviceaccounts"}
	leases      = kind{"coordination.k8s.io", "v1", "leases"}
	happenings  = kind{"", "v1", "events"}
	deploys     = kind{"apps", "v1", "deployments"}
	replicaSets = kind{"apps", "v1", "replicasets"}
	daemons     = kind{"apps", "v1", "daemonsets"}
	statefuls   = kind{"apps", "v1", "statefulsets"}
	jobs        = kind{"batch", "v1", "jobs"}
	cronjobs    = kind{"batch", "v1", "cronjobs"}
	slicesOf    = kind{"discovery.k8s.io", "v1", "endpointslices"}
	ingresses   = kind{"networking.k8s.io", "v1", "ingresses"}
	csrs        = kind{"certificates.k8s.io", "v1", "certificatesigningrequests"}
	crds        = kind{"apiextensions.k8s.io", "v1", "customresourcedefinitions"}
	crs         = kind{"rbac.authorization.k8s.io", "v1", "clusterroles"}
	crbs        = kind{"rbac.authorization.k8s.io", "v1", "clusterrolebindings"}
	roles       = kind{"rbac.authorization.k8s.io", "v1", "roles"}
	bindings    = kind{"rbac.authorization.k8s.io", "v1", "rolebindings"}
	mutating    = kind{"admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations"}
	validating  = kind{"admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations"}
	hpas        = kind{"autoscaling", "v2", "horizontalpodautoscalers"}
	metricsOf   = kind{"metrics.k8s.io", "v1beta1", "pods"}
	subjectSAR  = kind{"authorization.k8s.io", "v1", "subjectaccessreviews"}
	selfSAR     = kind{"authorization.k8s.io", "v1", "selfsubjectaccessreviews"}
	tokenRevs   = kind{"authentication.k8s.io", "v1", "tokenreviews"}
	claims      = kind{"", "v1", "persistentvolumeclaims"}
)

// request is one request.
type request struct {
	by   client
	verb string
	kind
	sub, ns, name string
	// query stands behind the path, without the question mark.
	query string
	// path is set where it is for no resource.
	path string
	code int32
	// body and reply are called where they are recorded.
	body, reply func() []byte
	// message is that of a response that refuses.
	message     string
	annotations map[string]string
	took        time.Duration
}

// decision is what an audit policy looks at.
type decision struct {
	user, verb, ns, group, resource, sub, name, path string
}

type verdict struct {
	level   auditinternal.Level
	started bool // the stage ResponseStarted is recorded
}

// recorder makes events of requests, as an audit policy says.
type recorder struct {
	policy  audit.PolicyRuleEvaluator
	yield   func(*gateaudit.Event) bool
	stopped bool
	decided map[decision]verdict
}

const maxDecided = 1 << 16

func (r *recorder) verdict(q *request) verdict {
	// Built-in and usual policies do not name objects of these: it is only the cache's key
	// that is without them.
	d := decision{q.by.name, q.verb, q.ns, q.group, q.resource, q.sub, "", q.path}
	if v, ok := r.decided[d]; ok {
		return v
	}
	path := q.path
	if path == "" {
		path = q.kind.path(q.ns, q.name, q.sub)
	}
	config := r.policy.EvaluatePolicyRule(authorizer.AttributesRecord{
		User: &user.DefaultInfo{Name: q.by.name, Groups: q.by.groups}, Verb: q.verb, Namespace: q.ns, APIGroup: q.group, APIVersion: q.version,
		Resource: q.resource, Subresource: q.sub, Name: q.name, ResourceRequest: q.path == "", Path: path,
	})
	v := verdict{level: config.Level, started: !slices.Contains(config.OmitStages, auditinternal.StageResponseStarted)}
	if len(r.decided) >= maxDecided {
		clear(r.decided)
	}
	r.decided[d] = v
	return v
}

// do makes a request that is answered at once.
func (s *simulation) do(q request) { s.record(&q, gateaudit.StageComplete, "", time.Time{}) }

// stream makes a request whose answer goes on.
func (s *simulation) stream(q request, d time.Duration, then func()) {
	id, received := s.auditID(), s.now
	s.record(&q, gateaudit.StageStarted, id, received)
	s.after(d, func() {
		s.record(&q, gateaudit.StageComplete, id, received)
		if then != nil {
			then()
		}
	})
}

// watch keeps a client watching, as an informer does: a watch ends after five to ten
// minutes, and there is another.
func (s *simulation) watch(by client, k kind, ns, name string) {
	var again func()
	q := request{by: by, verb: "watch", kind: k, ns: ns, name: name}
	version := 100000 + s.rand.IntN(1<<22)
	again = func() {
		d := s.between(5*time.Minute, 10*time.Minute)
		version += s.rand.IntN(500)
		q.query = fmt.Sprintf("allowWatchBookmarks=true&resourceVersion=%d&timeout=%s&timeoutSeconds=%d&watch=true", version, d.Round(time.Second), int(d.Seconds()))
		if name != "" {
			q.query = "fieldSelector=metadata.name%3D" + name + "&" + q.query
		}
		s.stream(q, d, again)
	}
	s.after(s.upTo(10*time.Minute), again)
}

func (s *simulation) auditID() string {
	var b [16]byte
	for i := 0; i < 16; i += 8 {
		n := s.rand.Uint64()
		for j := range 8 {
			b[i+j] = byte(n >> (8 * j))
		}
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	t := hex.EncodeToString(b[:])
	return t[:8] + "-" + t[8:12] + "-" + t[12:16] + "-" + t[16:20] + "-" + t[20:]
}

func (s *simulation) record(q *request, stage, id string, received time.Time) {
	if q.code == 401 { // a credential that is refused has no user
		q.by.name, q.by.groups, q.by.extra = "", nil, nil
	}
	v := s.recorder.verdict(q)
	if v.level == auditinternal.LevelNone || stage == gateaudit.StageStarted && !v.started || s.recorder.stopped {
		return
	}
	if q.code == 0 {
		q.code = 200
		if q.verb == "create" && q.sub == "" {
			q.code = 201
		}
	}
	if id == "" {
		id = s.auditID()
	}
	if received.IsZero() {
		took := q.took
		if took == 0 {
			took = s.between(time.Millisecond, 20*time.Millisecond)
		}
		received = s.now.Add(-took)
	}
	e := &gateaudit.Event{
		ID: id, Stage: stage, Level: string(v.level), Time: s.now.Truncate(time.Microsecond), Received: received.Truncate(time.Microsecond), Verb: q.verb,
		User: q.by.name, Groups: q.by.groups, Extra: q.by.extra, SourceIPs: []string{q.by.address}, UserAgent: q.by.agent,
		APIGroup: q.group, APIVersion: q.version, Resource: q.resource, Subresource: q.sub, Namespace: q.ns, Name: q.name, Code: q.code, Source: "serve",
	}
	e.URI = q.path
	if q.path == "" {
		name := q.name
		if q.verb == "list" || q.verb == "watch" || q.verb == "create" && q.sub == "" {
			name = ""
		}
		e.URI = q.kind.path(q.ns, name, q.sub)
	}
	if q.query != "" {
		e.URI += "?" + q.query
	}
	s.outcome(e, q)
	if !v.level.Less(auditinternal.LevelRequest) && q.body != nil {
		e.Request = q.body()
	}
	if !v.level.Less(auditinternal.LevelRequestResponse) && q.code < 400 {
		if q.reply != nil {
			e.Response = q.reply()
		} else if q.body != nil && !slices.Contains([]string{"delete", "deletecollection"}, q.verb) {
			e.Response = q.body()
		}
	}
	if !s.recorder.yield(e) {
		s.recorder.stopped = true
	}
}

// outcome is what the answer says.
func (s *simulation) outcome(e *gateaudit.Event, q *request) {
	switch {
	case q.code == 401: // nothing is decided
		e.Stage, e.Status, e.StatusReason, e.Message = gateaudit.StageStarted, "Failure", "Unauthorized", "Unauthorized"
		return
	case q.code == 403:
		e.Annotations = map[string]string{gateaudit.AnnotationDecision: "forbid", gateaudit.AnnotationReason: ""}
		e.Status, e.StatusReason, e.Message = "Failure", "Forbidden", q.message
		if e.Message == "" {
			e.Message = fmt.Sprintf("%s is forbidden: User %q cannot %s resource %q in API group %q in the namespace %q", q.resource, q.by.name, q.verb, q.resource, q.group, q.ns)
		}
	default:
		e.Annotations = map[string]string{gateaudit.AnnotationDecision: "allow", gateaudit.AnnotationReason: s.reason(q)}
		if q.code >= 400 {
			e.Status, e.Message = "Failure", q.message
			e.StatusReason = map[int32]string{404: "NotFound", 409: "AlreadyExists", 429: "TooManyRequests"}[q.code]
		}
	}
	if len(q.annotations) > 0 {
		maps.Copy(e.Annotations, q.annotations)
	}
}

// reason is what the authorizer says.
func (s *simulation) reason(q *request) string {
	switch {
	case strings.HasPrefix(q.by.name, "system:node:"):
		return ""
	case strings.HasPrefix(q.by.name, "system:serviceaccount:"):
		rest := strings.TrimPrefix(q.by.name, "system:serviceaccount:")
		ns, name, _ := strings.Cut(rest, ":")
		return fmt.Sprintf("RBAC: allowed by ClusterRoleBinding %q of ClusterRole %q to ServiceAccount %q", name, name, name+"/"+ns)
	}
	return fmt.Sprintf("RBAC: allowed by ClusterRoleBinding %q of ClusterRole %q to User %q", q.by.name, q.by.name, q.by.name)
}
