package redact

import (
	"net/url"
	"strings"
)

// uri redacts a request URI.
func (r *Redactor) uri(uri string) string {
	path, query, asked := strings.Cut(uri, "?")
	path = r.path(path)
	if !asked {
		return path
	}
	proxied := strings.IndexByte(path, 'x') >= 0 && (strings.Contains(path, "/proxy/") || strings.HasSuffix(path, "/proxy"))
	run := proxied || strings.HasSuffix(path, "/exec") || strings.HasSuffix(path, "/attach")
	var out []byte // of the query, once something in it has changed
	for from := 0; ; {
		to := from
		for to < len(query) && query[to] != '&' && query[to] != ';' && query[to] != '#' {
			to++
		}
		pair := query[from:to]
		clean := r.pair(pair, run)
		if out == nil && clean != pair {
			out = append(make([]byte, 0, 2*len(query)+hashLength), query[:from]...)
		}
		if from = min(to+1, len(query)); out != nil {
			out = append(append(out, clean...), query[to:from]...)
		}
		if to == len(query) {
			break
		}
	}
	switch {
	case out != nil:
		return path + "?" + string(out)
	case path == uri[:len(uri)-len(query)-1]:
		return uri
	}
	return path + "?" + query
}

// pair redacts one name and value of a query. run says that the request may run a command.
func (r *Redactor) pair(pair string, run bool) string {
	name, value, ok := strings.Cut(pair, "=")
	if !ok {
		if name, err := url.QueryUnescape(pair); err == nil && scrub(name) != name {
			return whyToken
		}
		return pair
	}
	if value == "" || IsMarker(value) {
		return pair
	}
	plainName, nameErr := unescaped(name)
	plainValue, valueErr := unescaped(value)
	if valueErr != nil {
		plainValue = value
	}
	switch {
	case isUsual(name):
	case nameErr != nil:
		return name + "=" + r.hash(value) // nobody knows what it is
	case strings.EqualFold(plainName, "command"), run && (strings.EqualFold(plainName, "cmd") || strings.EqualFold(plainName, "args")):
		return name + "=" + r.hash(plainValue)
	case namesParameter(plainName):
		return name + "=" + whyToken
	}
	if clean := scrub(plainValue); clean != plainValue {
		if IsMarker(clean) {
			return name + "=" + clean
		}
		return name + "=" + url.QueryEscape(clean)
	}
	return pair
}

// unescaped is url.QueryUnescape, which most texts are as they are.
func unescaped(s string) (string, error) {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s, nil
	}
	return url.QueryUnescape(s)
}

// isUsual reports whether a parameter is one of those that clients of Kubernetes send with
// every second request, and that namesParameter knows for harmless.
func isUsual(name string) bool {
	switch name {
	case "allowWatchBookmarks", "container", "fieldManager", "fieldSelector", "fieldValidation", "labelSelector", "limit",
		"resourceVersion", "resourceVersionMatch", "timeout", "timeoutSeconds", "watch":
		return true
	}
	return false
}

// namesParameter reports whether a parameter of a query is named like a credential.
func namesParameter(name string) bool {
	var buf [48]byte
	switch string(normal([]byte(name), &buf)) {
	case "code", "sig", "signature", "sessionid", "session", "jwt", "assertion", "clientassertion", "samlresponse", "xamzsignature",
		"xamzsecuritytoken", "xamzcredential", "xgoogsignature", "key", "secret", "auth", "authorization", "pass", "pwd", "bearer", "ticket", "otp":
		return true
	case "continue", "labelselector", "fieldselector", "limit", "timeoutseconds", "timeout", "resourceversion", "resourceversionmatch", "watch",
		"allowwatchbookmarks", "fieldmanager", "dryrun", "fieldvalidation", "pretty", "container", "stdin", "stdout", "stderr", "tty", "follow",
		"taillines", "sinceseconds", "previous", "timestamps", "force", "propagationpolicy", "sendinitialevents":
		return false
	}
	return namesSetting(name)
}

// path redacts the path of a request URI: user information and tokens in a proxied one.
func (r *Redactor) path(path string) string {
	// A letter is looked for before the word that it stands in: it is rarer.
	if (strings.IndexByte(path, 'x') < 0 || !strings.Contains(path, "/proxy")) && strings.IndexByte(path, '@') < 0 && strings.IndexByte(path, '%') < 0 &&
		(strings.IndexByte(path, 'J') < 0 || !strings.Contains(path, "eyJ")) && (strings.IndexByte(path, ':') < 0 || !strings.Contains(path, "://")) {
		return path
	}
	return r.segments(path)
}

func (r *Redactor) segments(path string) string {
	segments := strings.Split(path, "/")
	changed, proxied := false, false
	for i, segment := range segments {
		clean := segment
		text, err := url.PathUnescape(segment)
		if err != nil {
			text = segment
		}
		switch user, _, at := strings.Cut(text, "@"); {
		case IsMarker(segment):
		case at && strings.Contains(user, ":"):
			name, _, _ := strings.Cut(user, ":")
			_, host, _ := cutLast(text, "@")
			if _, password, _ := strings.Cut(strings.TrimSuffix(text, "@"+host), ":"); !IsMarker(password) {
				clean = url.PathEscape(name) + ":" + whyCredential + "@" + url.PathEscape(host)
			}
		case proxied && i > 0 && namesCredential([]byte(segments[i-1])) && text != "":
			clean = whyToken // /proxy/login/token/VALUE
		default:
			if scrubbed := scrub(text); scrubbed != text {
				clean = strings.ReplaceAll(url.PathEscape(scrubbed), "%3A", ":")
			}
		}
		proxied = proxied || segment == "proxy"
		changed = changed || clean != segment
		segments[i] = clean
	}
	if !changed {
		return path
	}
	return strings.Join(segments, "/")
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
