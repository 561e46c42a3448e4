package format

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/internal/jsondoc"
	"github.com/gatehouse-io/gatehouse/audit/record"
)

// gke reads a LogEntry of Cloud Audit Logs. What a server of GKE has written cannot be
// had; this is what is told of it.
func (r *reader) gke(doc *jsondoc.Document, n jsondoc.Node, at place) {
	payload := doc.Get(n, "protoPayload")
	text := func(of jsondoc.Node, path ...string) string {
		for _, key := range path {
			if of = doc.Get(of, key); of == 0 {
				return ""
			}
		}
		return string(doc.Text(of))
	}
	method := text(payload, "methodName")
	if service := text(payload, "serviceName"); service != "k8s.io" || method == "" {
		r.problem(at, doc.Raw(n), Foreign, "it is an entry of another service than k8s.io")
		return
	}
	e := &audit.Event{
		Source: GKE, ID: text(n, "operation", "id"), User: text(payload, "authenticationInfo", "principalEmail"),
		UserAgent: text(payload, "requestMetadata", "callerSuppliedUserAgent"), Stage: audit.StageComplete, Level: "Metadata",
		Unknown: []string{audit.UnknownGroups, audit.UnknownUID},
	}
	if e.ID == "" {
		e.ID = text(n, "insertId")
	}
	if ip := text(payload, "requestMetadata", "callerIp"); ip != "" {
		e.SourceIPs = []string{ip}
	}
	if as := text(payload, "authenticationInfo", "authoritySelector"); as != "" {
		e.AsUser = as
		e.Unknown = append(e.Unknown, audit.UnknownAsGroups)
	}
	when, err := time.Parse(time.RFC3339Nano, text(n, "timestamp"))
	if err != nil || e.ID == "" {
		r.problem(at, doc.Raw(n), Broken, "an entry without a timestamp of RFC 3339, an operation and an insertId")
		return
	}
	e.Time = when.UTC().Truncate(time.Microsecond)
	e.Received = e.Time
	if op := doc.Get(n, "operation"); op != 0 && isTrue(doc, doc.Get(op, "first")) && !isTrue(doc, doc.Get(op, "last")) {
		e.Stage = audit.StageStarted
	}
	gkeObject(e, method, text(payload, "resourceName"))
	if labels := doc.Get(n, "labels"); doc.Len(labels) > 0 && labels != 0 {
		e.Annotations = make(map[string]string, doc.Len(labels))
		for i := doc.Child(labels); i != 0; i = doc.Next(i) {
			key := string(doc.Key(i))
			e.Annotations[key] = string(doc.Text(i))
		}
	}
	if _, told := e.Annotations[audit.AnnotationDecision]; !told {
		e.Unknown = append(e.Unknown, audit.UnknownDecision)
	}
	if body := doc.Get(payload, "request"); body != 0 {
		e.Request, e.Level = record.Body(doc.Raw(body)), "Request"
	}
	if body := doc.Get(payload, "response"); body != 0 {
		e.Response, e.Level = record.Body(doc.Raw(body)), "RequestResponse"
	}
	gkeStatus(doc, payload, e)
	slices.Sort(e.Unknown)
	r.event(e)
}

func isTrue(doc *jsondoc.Document, n jsondoc.Node) bool {
	return n != 0 && doc.Kind(n) == jsondoc.Bool && doc.Raw(n)[0] == 't'
}

// httpStatus are the codes of google.rpc in HTTP (google/rpc/code.proto says which).
var httpStatus = [...]int32{200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401}

// gkeStatus tells the outcome: by the response where it is a Status, else by the status
// of the entry.
func gkeStatus(doc *jsondoc.Document, payload jsondoc.Node, e *audit.Event) {
	number := func(n jsondoc.Node) (int32, bool) {
		if n == 0 || doc.Kind(n) != jsondoc.Number {
			return 0, false
		}
		code, err := strconv.ParseInt(string(doc.Raw(n)), 10, 32)
		return int32(code), err == nil
	}
	status := doc.Get(payload, "status")
	if status == 0 {
		e.Unknown = append(e.Unknown, audit.UnknownCode)
	} else {
		code, said := number(doc.Get(status, "code"))
		switch {
		case !said:
			e.Code = 200 // zero, which is left out where it is the default
		case code >= 0 && int(code) < len(httpStatus):
			e.Code = httpStatus[code]
		case code >= 100 && code < 600:
			e.Code = code
		default:
			e.Unknown = append(e.Unknown, audit.UnknownCode)
		}
		if message := doc.Get(status, "message"); message != 0 {
			e.Message = string(doc.Text(message))
		}
	}
	response := doc.Get(payload, "response")
	if response == 0 || !isStatus(doc, response) {
		return
	}
	if code, ok := number(doc.Get(response, "code")); ok && code >= 100 && code < 600 {
		e.Code = code
		e.Unknown = slices.DeleteFunc(e.Unknown, func(s string) bool { return s == audit.UnknownCode })
	}
	for key, into := range map[string]*string{"status": &e.Status, "reason": &e.StatusReason, "message": &e.Message} {
		if i := doc.Get(response, key); i != 0 && doc.Kind(i) == jsondoc.String {
			*into = string(doc.Text(i))
		}
	}
}

func isStatus(doc *jsondoc.Document, n jsondoc.Node) bool {
	if kind := doc.Get(n, "kind"); kind != 0 {
		return string(doc.Text(kind)) == "Status"
	}
	t := doc.Get(n, "@type")
	return t != 0 && strings.HasSuffix(string(doc.Text(t)), ".Status")
}

var version = regexp.MustCompile(`^v[1-9][0-9]*((alpha|beta)[1-9][0-9]*)?$`)

// gkeObject tells the verb and the object of a method such as
// io.k8s.core.v1.pods.exec.create and a name such as core/v1/namespaces/NS/pods/NAME/exec.
func gkeObject(e *audit.Event, method, name string) {
	parts := strings.Split(method, ".")
	e.Verb = parts[len(parts)-1]
	name = strings.TrimPrefix(name, "/")
	at := slices.IndexFunc(parts, version.MatchString)
	path := strings.Split(name, "/")
	if at < 0 || at+2 >= len(parts) || len(path) < 3 || path[1] != parts[at] {
		e.URI = "/" + name // no resource
		return
	}
	subresource := strings.Join(parts[at+2:len(parts)-1], "/")
	e.APIGroup, e.APIVersion, e.Resource = path[0], path[1], parts[at+1]
	e.URI = "/apis/" + name
	if path[0] == "core" {
		e.APIGroup = ""
		e.URI = "/api/" + strings.TrimPrefix(name, "core/")
	}
	rest := path[2:]
	if rest[0] == "namespaces" && len(rest) > 2 && rest[2] == e.Resource && e.Resource != "namespaces" {
		e.Namespace, rest = rest[1], rest[2:]
	}
	if rest[0] != e.Resource {
		return // a name of another shape: the resource of the method stands
	}
	if rest = rest[1:]; len(rest) > 0 {
		e.Name, rest = rest[0], rest[1:]
	}
	if e.Resource == "namespaces" {
		e.Namespace = e.Name
	}
	e.Subresource = subresource
	if subresource == "" && len(rest) > 0 {
		e.Subresource = rest[0]
	}
}
