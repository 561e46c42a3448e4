package builtin

import (
	"fmt"
	"path"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/internal/glob"
)

// eachVolume calls say for every volume that has a source of a kind.
func (p *pod) eachVolume(kind string, say func(index int, name string, source map[string]any)) {
	for i, v := range list(p.spec, "volumes") {
		volume, _ := v.(map[string]any)
		if source, ok := volume[kind].(map[string]any); ok {
			say(i, text(volume, "name"), source)
		}
	}
}

func disallowHostPath(p *pod) (found []problem) {
	p.eachVolume("hostPath", func(i int, name string, source map[string]any) {
		found = append(found, problem{path: p.path(fmt.Sprintf("volumes[%d].hostPath", i)),
			message: fmt.Sprintf("volume %s mounts %s of its node: use another kind of volume", quoted(name), quoted(text(source, "path")))})
	})
	return found
}

// sockets of container runtimes: whoever talks to one is root of the node.
var sockets = []string{
	"/var/run/docker.sock", "/run/docker.sock",
	"/run/containerd/containerd.sock", "/var/run/containerd/containerd.sock", "/run/k3s/containerd/containerd.sock", "/var/run/k3s/containerd/containerd.sock",
	"/run/crio/crio.sock", "/var/run/crio/crio.sock",
	"/run/cri-dockerd.sock", "/var/run/cri-dockerd.sock",
	"/run/podman/podman.sock", "/var/run/podman/podman.sock",
}

func disallowContainerSockets(p *pod) (found []problem) {
	p.eachVolume("hostPath", func(i int, name string, source map[string]any) {
		at := path.Clean("/" + text(source, "path"))
		for _, socket := range sockets {
			if at == socket || strings.HasPrefix(socket, strings.TrimSuffix(at, "/")+"/") {
				found = append(found, problem{path: p.path(fmt.Sprintf("volumes[%d].hostPath.path", i)),
					message: fmt.Sprintf("volume %s gives the container runtime's socket %s away: who talks to it is root of the node", quoted(name), socket)})
				return
			}
		}
	})
	return found
}

func requireNonRoot(p *pod) (found []problem) {
	for i := range p.containers {
		c := &p.containers[i]
		nonRoot, set := flag(c.security, "runAsNonRoot")
		if !set {
			nonRoot, _ = flag(p.security, "runAsNonRoot")
		}
		user, set := number(c.security, "runAsUser")
		if !set {
			user, _ = number(p.security, "runAsUser")
		}
		if !nonRoot && user <= 0 {
			found = append(found, problem{path: c.path(p, "securityContext"), message: c.named() + " may run as root: set securityContext.runAsNonRoot to true, or runAsUser to a number above 0"})
		}
	}
	return found
}

func emptyDirSizeLimit(e entry, given *v1alpha1.BuiltinPolicy) (*entry, error) {
	standard, most := resource.MustParse("512Mi"), resource.MustParse("1Gi")
	if given != nil && given.EmptyDirSizeLimit != nil {
		if q := given.EmptyDirSizeLimit.Default; q != nil {
			standard = *q
		}
		if q := given.EmptyDirSizeLimit.Maximum; q != nil {
			most = *q
		}
	}
	if standard.Cmp(most) > 0 {
		return nil, fmt.Errorf("emptyDirSizeLimit: the default %s is greater than the maximum %s", standard.String(), most.String())
	}
	if standard.Sign() <= 0 {
		return nil, fmt.Errorf("emptyDirSizeLimit: the default is %s, and must be above 0", standard.String())
	}
	e.change = func(p *pod) (all []operation) {
		p.eachVolume("emptyDir", func(i int, _ string, source map[string]any) {
			if source["sizeLimit"] == nil {
				all = append(all, add(standard.String(), p.pointer("volumes", i, "emptyDir", "sizeLimit")...)...)
			}
		})
		return all
	}
	e.pod = func(p *pod) (found []problem) {
		p.eachVolume("emptyDir", func(i int, name string, source map[string]any) {
			at := p.path(fmt.Sprintf("volumes[%d].emptyDir.sizeLimit", i))
			switch limit, err := quantity(source["sizeLimit"]); {
			case source["sizeLimit"] == nil:
				found = append(found, problem{path: strings.TrimSuffix(at, ".sizeLimit"), message: fmt.Sprintf("volume %s has no sizeLimit: set one of at most %s", quoted(name), most.String()),
					fix: add(standard.String(), p.pointer("volumes", i, "emptyDir", "sizeLimit")...)})
			case err != nil || limit.Sign() <= 0:
				found = append(found, problem{path: at, message: fmt.Sprintf("volume %s has a sizeLimit that limits nothing: set one above 0 and of at most %s", quoted(name), most.String())})
			case limit.Cmp(most) > 0:
				found = append(found, problem{path: at, message: fmt.Sprintf("volume %s has the sizeLimit %s: at most %s is allowed", quoted(name), limit.String(), most.String())})
			}
		})
		return found
	}
	return &e, nil
}

func quantity(value any) (resource.Quantity, error) {
	return resource.ParseQuantity(fmt.Sprint(value))
}

var digest = regexp.MustCompile(`@(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$`)

func requireImageDigest(p *pod) []problem {
	return p.eachImage(func(image string) string {
		if digest.MatchString(image) {
			return ""
		}
		return "is named by no digest, and what it is can change: name it NAME@sha256:DIGEST"
	})
}

// eachImage asks about every image, those of image volumes included: what is wrong
// with it, after its name; empty for nothing.
func (p *pod) eachImage(wrong func(image string) string) (found []problem) {
	for i := range p.containers {
		c := &p.containers[i]
		if what := wrong(c.image); what != "" {
			found = append(found, problem{path: c.path(p, "image"), message: fmt.Sprintf("image %s of %s %s", quoted(c.image), c.named(), what), images: []string{c.image}})
		}
	}
	p.eachVolume("image", func(i int, name string, source map[string]any) {
		image := text(source, "reference")
		if what := wrong(image); what != "" {
			found = append(found, problem{path: p.path(fmt.Sprintf("volumes[%d].image.reference", i)), message: fmt.Sprintf("image %s of volume %s %s", quoted(image), quoted(name), what), images: []string{image}})
		}
	})
	return found
}

func disallowTiller(p *pod) []problem {
	return p.eachImage(func(image string) string {
		if strings.Contains("/"+image, "/tiller") {
			return "is Tiller, the server of Helm 2, which whoever reaches it commands: use Helm 3 or later"
		}
		return ""
	})
}

// images selects images by their references in full.
type images struct {
	patterns    []string
	expressions []*regexp.Regexp
}

func imagesOf(given *v1alpha1.TrustedRepositories) (*images, error) {
	of := &images{patterns: given.Images}
	for _, e := range given.Expressions {
		if _, err := regexp.Compile(e); err != nil {
			return nil, fmt.Errorf("expressions: %w", err)
		}
		of.expressions = append(of.expressions, regexp.MustCompile(`\A(?:`+e+`)\z`))
	}
	if len(of.patterns)+len(of.expressions) == 0 {
		return nil, fmt.Errorf("name images or expressions")
	}
	return of, nil
}

func (i *images) match(reference string) bool {
	if glob.Any(i.patterns, reference) {
		return true
	}
	for _, e := range i.expressions {
		if e.MatchString(reference) {
			return true
		}
	}
	return false
}

// full is an image's reference with registry and path, as a container runtime reads
// it: nginx is docker.io/library/nginx.
func full(image string) string {
	registry, rest, divided := strings.Cut(image, "/")
	switch {
	case !divided:
		return "docker.io/library/" + image
	case registry == "index.docker.io":
		registry = "docker.io"
	case !strings.ContainsAny(registry, ".:") && registry != "localhost" && strings.ToLower(registry) == registry:
		return "docker.io/" + image
	}
	if registry == "docker.io" && !strings.Contains(rest, "/") {
		rest = "library/" + rest
	}
	return registry + "/" + rest
}

func trustedRepositories(e entry, given *v1alpha1.BuiltinPolicy) (*entry, error) {
	if given == nil || given.TrustedRepositories == nil {
		return nil, fmt.Errorf("trustedRepositories: say where images may come from")
	}
	trusted, err := imagesOf(given.TrustedRepositories)
	if err != nil {
		return nil, fmt.Errorf("trustedRepositories: %w", err)
	}
	e.pod = func(p *pod) []problem {
		return p.eachImage(func(image string) string {
			if image != "" && trusted.match(full(image)) {
				return ""
			}
			return "comes from no repository that is trusted"
		})
	}
	return &e, nil
}

// podFlag is a problem where a boolean of the pod's spec is true.
func (p *pod) podFlag(field, message string) []problem {
	if on, _ := flag(p.spec, field); !on {
		return nil
	}
	return []problem{{path: p.path(field), message: message + ": leave " + field + " out", fix: remove(p.pointer(field)...)}}
}

func disallowHostNetwork(p *pod) []problem {
	return p.podFlag("hostNetwork", "the pod uses the network of its node")
}

func disallowHostPID(p *pod) []problem {
	return p.podFlag("hostPID", "the pod sees the processes of its node")
}

func disallowHostIPC(p *pod) []problem {
	return p.podFlag("hostIPC", "the pod shares memory with its node")
}

func disallowShareProcessNamespace(p *pod) []problem {
	return p.podFlag("shareProcessNamespace", "the containers of the pod see each other's processes")
}

func disallowPrivileged(p *pod) (found []problem) {
	if on, _ := flag(object(p.security, "windowsOptions"), "hostProcess"); on {
		found = append(found, problem{path: p.path("securityContext.windowsOptions.hostProcess"), message: "the pod's containers are processes of their node: leave hostProcess out"})
	}
	for i := range p.containers {
		c := &p.containers[i]
		if on, _ := flag(c.security, "privileged"); on {
			found = append(found, problem{path: c.path(p, "securityContext.privileged"), message: c.named() + " is privileged: leave privileged out",
				fix: remove(c.pointer(p, "securityContext", "privileged")...)})
		}
		if on, _ := flag(object(c.security, "windowsOptions"), "hostProcess"); on {
			found = append(found, problem{path: c.path(p, "securityContext.windowsOptions.hostProcess"), message: c.named() + " is a process of its node: leave hostProcess out"})
		}
	}
	return found
}

func disallowAddedCapabilities(p *pod) (found []problem) {
	for i := range p.containers {
		c := &p.containers[i]
		added := list(object(c.security, "capabilities"), "add")
		if len(added) == 0 {
			continue
		}
		names := make([]string, 0, len(added))
		for _, a := range added {
			name, _ := a.(string)
			names = append(names, name)
		}
		found = append(found, problem{path: c.path(p, "securityContext.capabilities.add"), message: fmt.Sprintf("%s adds capabilities (%s): leave add out", c.named(), quoted(strings.Join(names, ", "))),
			fix: remove(c.pointer(p, "securityContext", "capabilities", "add")...)})
	}
	return found
}

const evictable = "cluster-autoscaler.kubernetes.io/safe-to-evict"

// onNode reports whether the pod has storage on its node, which makes the cluster
// autoscaler leave the node alone.
func (p *pod) onNode() (on bool) {
	yes := func(int, string, map[string]any) { on = true }
	p.eachVolume("emptyDir", yes)
	p.eachVolume("hostPath", yes)
	return on
}

func safeToEvict(p *pod) []problem {
	if value, _ := p.annotation(evictable); value == "true" || !p.onNode() {
		return nil
	}
	return []problem{{path: p.metadataAt + ".annotations", message: "the pod has storage on its node and keeps that from being taken away: annotate it " + evictable + `: "true"`,
		fix: p.along("true", append(split(p.metadataAt), "annotations", evictable))}}
}

func mutateSafeToEvict(p *pod) []operation {
	if _, said := p.annotation(evictable); said || !p.onNode() {
		return nil
	}
	return p.along("true", append(split(p.metadataAt), "annotations", evictable))
}

func defaultSeccomp(e entry, given *v1alpha1.BuiltinPolicy) (*entry, error) {
	profile := map[string]any{"type": "RuntimeDefault"}
	if given != nil && given.DefaultSeccomp != nil {
		if kind := given.DefaultSeccomp.Type; kind != "" {
			profile["type"] = kind
		}
		if file := given.DefaultSeccomp.LocalhostProfile; file != "" {
			profile["localhostProfile"] = file
		}
	}
	switch kind := profile["type"]; {
	case kind != "RuntimeDefault" && kind != "Localhost":
		return nil, fmt.Errorf("defaultSeccomp: the type %q is none of RuntimeDefault and Localhost", kind)
	case (kind == "Localhost") != (profile["localhostProfile"] != nil):
		return nil, fmt.Errorf("defaultSeccomp: localhostProfile belongs to the type Localhost, which cannot do without it")
	}
	e.change = func(p *pod) []operation {
		if p.windows() || p.security["seccompProfile"] != nil {
			return nil
		}
		return p.along(profile, p.pointer("securityContext", "seccompProfile"))
	}
	return &e, nil
}

func imagePullPolicy(e entry, given *v1alpha1.BuiltinPolicy) (*entry, error) {
	if given == nil || given.ImagePullPolicy == nil || len(given.ImagePullPolicy.Rules) == 0 {
		return nil, fmt.Errorf("imagePullPolicy: give it rules")
	}
	type rule struct {
		*images
		policy string
	}
	var rules []rule
	for i := range given.ImagePullPolicy.Rules {
		r := &given.ImagePullPolicy.Rules[i]
		of, err := imagesOf(&r.TrustedRepositories)
		if err != nil {
			return nil, fmt.Errorf("imagePullPolicy.rules[%d]: %w", i, err)
		}
		if p := r.PullPolicy; p != "Always" && p != "IfNotPresent" && p != "Never" {
			return nil, fmt.Errorf("imagePullPolicy.rules[%d]: the pullPolicy %q is none of Always, IfNotPresent and Never", i, p)
		}
		rules = append(rules, rule{of, r.PullPolicy})
	}
	e.change = func(p *pod) (all []operation) {
		for i := range p.containers {
			c := &p.containers[i]
			if c.list == "ephemeralContainers" && c.index < p.before {
				continue // it runs, and cannot be changed
			}
			reference := full(c.image)
			for _, r := range rules {
				if c.image == "" || !r.match(reference) {
					continue
				}
				if text(c.content, "imagePullPolicy") != r.policy {
					all = append(all, add(r.policy, c.pointer(p, "imagePullPolicy")...)...)
				}
				break
			}
		}
		return all
	}
	return &e, nil
}

const appArmorPrefix = "container.apparmor.security.beta.kubernetes.io/"

func disallowUnconfinedAppArmor(p *pod) (found []problem) {
	const mend = ": leave it out, or choose RuntimeDefault"
	if text(object(p.security, "appArmorProfile"), "type") == "Unconfined" {
		found = append(found, problem{path: p.path("securityContext.appArmorProfile.type"), message: "the pod leaves AppArmor" + mend})
	}
	for i := range p.containers {
		c := &p.containers[i]
		if text(object(c.security, "appArmorProfile"), "type") == "Unconfined" {
			found = append(found, problem{path: c.path(p, "securityContext.appArmorProfile.type"), message: c.named() + " leaves AppArmor" + mend})
		}
		if value, _ := p.annotation(appArmorPrefix + text(c.content, "name")); value == "unconfined" {
			found = append(found, problem{path: p.annotationPath(appArmorPrefix + text(c.content, "name")), message: c.named() + " leaves AppArmor by an annotation" + mend})
		}
	}
	return found
}
