package queryapi

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/query"
	"github.com/gatehouse-io/gatehouse/audit/record"
)

// Client asks a Gatehouse that runs. It implements audit.Reader, and lets conditions and
// counts be worked on where the events are. It is safe for concurrent use.
type Client struct {
	// Base is the URL of the API server with /apis/GROUP/v1alpha1.
	Base string
	// HTTP makes the requests, with the credentials of who asks.
	HTTP *http.Client
	// Namespace asks for the events of one namespace; empty for those of all and of none.
	Namespace string
	// Page is how many events are asked for at a time. Default: 1000.
	Page int
}

// Connect finds the group that a server answers under.
func Connect(ctx context.Context, server string, h *http.Client, namespace string) (*Client, error) {
	var first error
	for _, group := range []string{ServeGroup, AttachGroup} {
		c := &Client{Base: strings.TrimSuffix(server, "/") + "/apis/" + group + "/" + Version, HTTP: h, Namespace: namespace}
		_, _, err := c.Span(ctx)
		if err == nil {
			return c, nil
		}
		if first == nil || apierrors.IsNotFound(first) {
			first = err
		}
		if !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err) {
			break // it is nobody's who could answer under another name
		}
	}
	return nil, first
}

// maxStatus bounds what is read of an error.
const maxStatus = 1 << 20

// get asks, and has the answer's body, to be closed.
func (c *Client) get(ctx context.Context, name string, a *Ask) (io.ReadCloser, error) {
	path := c.Base
	if c.Namespace != "" {
		path += "/namespaces/" + url.PathEscape(c.Namespace)
	}
	path += "/" + Resource
	if name != "" {
		path += "/" + url.PathEscape(name)
	}
	if parameters := a.Values().Encode(); parameters != "" {
		path += "?" + parameters
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	answer, err := c.HTTP.Do(request)
	if err != nil {
		var failed *url.Error
		if errors.As(err, &failed) {
			err = failed.Err // its text has the whole URL in it
		}
		return nil, fmt.Errorf("ask %s: %w", hostOf(c.Base), err)
	}
	if answer.StatusCode == http.StatusOK {
		return answer.Body, nil
	}
	defer answer.Body.Close()
	data, _ := io.ReadAll(io.LimitReader(answer.Body, maxStatus))
	status := metav1.Status{}
	if json.Unmarshal(data, &status) != nil || status.Kind != "Status" {
		status = metav1.Status{Status: metav1.StatusFailure, Message: "the server answers " + answer.Status}
		if answer.StatusCode == http.StatusNotFound {
			status.Reason = metav1.StatusReasonNotFound
		}
	}
	status.Code = int32(answer.StatusCode)
	return nil, &apierrors.StatusError{ErrStatus: status}
}

func hostOf(base string) string {
	if u, err := url.Parse(base); err == nil {
		return u.Host
	}
	return "the server"
}

// ask asks for one object.
func (c *Client) ask(ctx context.Context, name string, a *Ask, answer any) error {
	body, err := c.get(ctx, name, a)
	if err != nil {
		return err
	}
	defer body.Close()
	if err := json.NewDecoder(body).Decode(answer); err != nil {
		return fmt.Errorf("read the answer of %s: %w", hostOf(c.Base), err)
	}
	return nil
}

// Events asks for events, page for page, as many as Limit says; 0 is all. u may be nil.
func (c *Client) Events(ctx context.Context, a Ask, u *query.Unjudged) iter.Seq2[*audit.Event, error] {
	return func(yield func(*audit.Event, error) bool) {
		left, page := a.Limit, c.Page
		if page <= 0 {
			page = 1000
		}
		var decoder record.Decoder
		for {
			a.Limit = page
			if left > 0 {
				a.Limit = min(page, left)
			}
			var list EventList
			if err := c.ask(ctx, "", &a, &list); err != nil {
				yield(nil, err)
				return
			}
			if list.Unjudged != nil && u != nil {
				if u.Count += list.Unjudged.Count; u.First == nil {
					u.First = errors.New(list.Unjudged.First)
				}
			}
			for _, item := range list.Items {
				e, err := decoder.Event(item)
				if !yield(e, err) || err != nil {
					return
				}
				if left > 0 {
					if left--; left == 0 {
						return
					}
				}
			}
			if a.Continue = list.Continue; a.Continue == "" {
				return
			}
		}
	}
}

// Counts asks for counts.
func (c *Client) Counts(ctx context.Context, a Ask) (*EventCounts, error) {
	var answer EventCounts
	return &answer, c.ask(ctx, "", &a, &answer)
}

// Scan implements audit.Reader.
func (c *Client) Scan(ctx context.Context, s audit.Scan) iter.Seq2[*audit.Event, error] {
	return c.Events(ctx, Ask{Filter: s.Filter, Order: s.Order, Limit: s.Limit, Bodies: s.Bodies}, nil)
}

// Gaps implements audit.Reader.
func (c *Client) Gaps(ctx context.Context, from, to time.Time) ([]audit.Gap, error) {
	a := Ask{Order: audit.NewestFirst}
	a.Filter.From, a.Filter.To = from, to
	var answer Span
	err := c.ask(ctx, nameSpan, &a, &answer)
	return GapsFrom(answer.Gaps), err
}

// Span implements audit.Reader.
func (c *Client) Span(ctx context.Context) (oldest, newest time.Time, err error) {
	var answer Span
	if err := c.ask(ctx, nameSpan, &Ask{Order: audit.NewestFirst}, &answer); err != nil {
		return oldest, newest, err
	}
	if answer.Oldest != nil {
		oldest = *answer.Oldest
	}
	if answer.Newest != nil {
		newest = *answer.Newest
	}
	return oldest, newest, nil
}

// Requests implements audit.Reader.
func (c *Client) Requests(ctx context.Context, from, to time.Time) iter.Seq2[*audit.Request, error] {
	return func(yield func(*audit.Request, error) bool) {
		a := Ask{Order: audit.NewestFirst}
		a.Filter.From, a.Filter.To = from, to
		for l, err := range c.lines(ctx, nameRequests, &a) {
			var r *audit.Request
			switch {
			case err != nil:
			case l.Type == lineEnd:
				return
			case l.Type == lineRequest:
				var told Request
				err = json.Unmarshal(l.Object, &told)
				converted := audit.Request(told)
				r = &converted
			default:
				continue
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
		yield(nil, fmt.Errorf("read the answer of %s: %w", hostOf(c.Base), errEnd))
	}
}

// Watch yields what is new until the context ends, which is no error. A watch whose time
// is over is begun anew; what came between is told, once.
func (c *Client) Watch(ctx context.Context, a Ask) iter.Seq2[query.News, error] {
	return func(yield func(query.News, error) bool) {
		a.Watch, a.Order, a.Limit = true, audit.NewestFirst, 0
		var decoder record.Decoder
		seen := map[[sha256.Size]byte]time.Time{}
		since := time.Now()
		if !a.Filter.From.IsZero() {
			since = a.Filter.From
		}
		for ctx.Err() == nil {
			begun := time.Now()
			for l, err := range c.lines(ctx, "", &a) {
				var news query.News
				switch {
				case err != nil:
				case l.Type == lineAdded:
					news.Event, err = decoder.Event(l.Object)
				case l.Type == lineGap:
					var g Gap
					err = json.Unmarshal(l.Object, &g)
					news.Gap = &GapsFrom([]Gap{g})[0]
				default:
					continue
				}
				if ctx.Err() != nil {
					return
				}
				if err == nil {
					key := sha256.Sum256(l.Object)
					if _, told := seen[key]; told {
						continue
					}
					seen[key] = time.Now()
				}
				if !yield(news, err) || err != nil {
					return
				}
			}
			// The next watch looks back a little, since events come late.
			from := begun.Add(-lateWatch)
			if from.Before(since) {
				from = since
			}
			a.Filter.From = from
			select {
			case <-ctx.Done():
			case <-time.After(max(0, time.Second-time.Since(begun))): // of a server that ends each at once
			}
			for key, at := range seen {
				if at.Before(from) {
					delete(seen, key)
				}
			}
		}
	}
}

const lateWatch = 2 * time.Minute

// lines are the lines of a stream. An ERROR line is an error.
func (c *Client) lines(ctx context.Context, name string, a *Ask) iter.Seq2[line, error] {
	return func(yield func(line, error) bool) {
		body, err := c.get(ctx, name, a)
		if err != nil {
			yield(line{}, err)
			return
		}
		defer body.Close()
		reader := bufio.NewReaderSize(body, 64<<10)
		for {
			data, err := reader.ReadBytes('\n')
			if err == io.EOF && len(data) == 0 {
				return
			}
			var l line
			if err == nil {
				err = json.Unmarshal(data, &l)
			} else if err == io.EOF {
				err = errEnd
			}
			if err == nil && l.Type == lineError {
				status := metav1.Status{}
				if err = json.Unmarshal(l.Object, &status); err == nil {
					err = &apierrors.StatusError{ErrStatus: status}
				}
			}
			if !yield(l, err) || err != nil {
				return
			}
		}
	}
}
