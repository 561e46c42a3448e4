package gatekeeper

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/gatehouse-io/gatehouse/policy/gatekeeper/location"
)

// The forms of an image's parts. None holds what divides it from the next one, so that
// assigning it again changes nothing.
var (
	imageDomain = regexp.MustCompile(`^(?:\w[\w\-_]*\.[\w\-_.]*\w|localhost)(?::\d+)?$`)
	imagePath   = regexp.MustCompile(`^[a-z0-9]+(?:(?:(?:[._/]|__|-*)[a-z0-9]+)+)?`)
	imageTag    = regexp.MustCompile(`^(?::\w[\w.-]{0,127}|@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9A-Fa-f]{32,})$`)
)

func readAssignImage(m *mutator, parameters json.RawMessage) error {
	var p struct {
		PathTests    []pathTest `json:"pathTests,omitempty"`
		AssignDomain string     `json:"assignDomain,omitempty"`
		AssignPath   string     `json:"assignPath,omitempty"`
		AssignTag    string     `json:"assignTag,omitempty"`
	}
	if err := strictly(parameters, &p); err != nil {
		return fmt.Errorf("spec.parameters: %w", err)
	}
	switch {
	case m.inMetadata():
		return errors.New("spec.location: an AssignImage does not change metadata")
	case m.endsInList():
		return errors.New("spec.location: it must end with a field, not with an item of a list")
	}
	if err := m.checkKey(); err != nil {
		return err
	}
	image := image{p.AssignDomain, p.AssignPath, p.AssignTag}
	if err := image.check(); err != nil {
		return fmt.Errorf("spec.parameters.%w", err)
	}
	m.last, m.terminates = location.TypeString, true
	m.value = func(w *mutating) location.Setter { return &imageSetter{noItems{}, w, image} }
	return m.checkTests(p.PathTests)
}

// image is one in its parts. The tag, or digest, has the character before it.
type image struct{ domain, path, tag string }

// parseImage divides a reference, whatever it is.
func parseImage(reference string) image {
	domain, rest := cutDomain(reference)
	if at := strings.IndexAny(rest, ":@"); at >= 0 {
		return image{domain, rest[:at], rest[at:]}
	}
	return image{domain, rest, ""}
}

// cutDomain takes the domain off: what stands before the first slash, where it has a
// dot or a port or is localhost.
func cutDomain(reference string) (domain, rest string) {
	before, after, divided := strings.Cut(reference, "/")
	if !divided || !strings.ContainsAny(before, ".:") && before != "localhost" {
		return "", reference
	}
	return before, after
}

func (i image) check() error {
	switch {
	case i == image{}:
		return errors.New("assignDomain, assignPath, assignTag: set one")
	case i.domain != "" && !imageDomain.MatchString(i.domain):
		return fmt.Errorf("assignDomain: %q is no domain with a dot, and not localhost", i.domain)
	case i.path != "" && imagePath.FindString(i.path) != i.path:
		return fmt.Errorf("assignPath: %q is no path of an image", i.path)
	case i.tag != "" && !imageTag.MatchString(i.tag):
		return fmt.Errorf("assignTag: %q is no tag with its colon, and no digest with its @", i.tag)
	}
	if domain, _ := cutDomain(i.path); i.domain == "" && domain != "" {
		return fmt.Errorf("assignPath: %q begins with what would be a domain; set assignDomain", i.path)
	}
	return nil
}

func (i image) String() string {
	if i.domain == "" {
		return i.path + i.tag
	}
	return i.domain + "/" + i.path + i.tag
}

// imageSetter replaces the parts of an image that are set.
type imageSetter struct {
	noItems
	w     *mutating
	parts image
}

// Set implements location.Setter.
func (s *imageSetter) Set(fields map[string]any, name string) error {
	there, exists := fields[name]
	before, ok := there.(string)
	if exists && !ok {
		return errors.New("only a string can be an image")
	}
	is := parseImage(before)
	is.domain, is.path, is.tag = orElse(s.parts.domain, is.domain), orElse(s.parts.path, is.path), orElse(s.parts.tag, is.tag)
	if after := is.String(); !exists || after != before {
		s.w.change()
		fields[name] = after
	}
	return nil
}
