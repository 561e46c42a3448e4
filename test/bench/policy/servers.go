package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// phase is one comparison at a server: turns without policies, and turns with them.
type phase struct {
	title         string
	with, without func(context.Context) error
}

// inForce is how many policies there are at servers, and matching how many of them
// match where not all do.
const inForce, matching = 100, 16

// servers measures the creation of Pods through API servers.
func (o *options) servers(ctx context.Context) (string, error) {
	root, err := os.MkdirTemp("", "gh-bench-policy-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(root)
	var b strings.Builder
	fmt.Fprintf(&b, "### Creation of Pods through API servers\n\n%d turns of %d Pods, %d at a time. Each line is of one server, that was asked without and with the policies in turns, each of which begins with no garbage: the slowest hundredth are those that a collection slowed down. What is told is the median of the turns; of the ratio, that of the two sides of each turn, since the machine is faster and slower by turns. 19 of 20 times that turns are drawn anew from those that were measured it is in the interval. CPU is that of all programs of the server, webhooks included, for one Pod.\n\n", o.rounds, o.creates, o.clients)
	fmt.Fprint(&b, "| server | p99 with / without | interval | target | CPU without | CPU with | p50 without | p50 with | p99 without | p99 with |\n|---|--:|--:|---|--:|--:|--:|--:|--:|--:|\n")
	for _, server := range []struct {
		name string
		run  func(context.Context, string, *strings.Builder) error
	}{{"stock", o.atStock}, {"gatehouse serve", o.atServe}} {
		if o.rows != "" && !strings.HasPrefix(o.rows, server.name) {
			continue
		}
		dir := filepath.Join(root, server.name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			return "", err
		}
		if err := server.run(ctx, dir, &b); err != nil {
			return "", err
		}
	}
	return b.String(), nil
}

// measure takes turns, and writes a row.
func (o *options) measure(ctx context.Context, b *strings.Builder, s *side, c *caller, target bool, p phase) error {
	if !strings.Contains(p.title, o.rows) {
		return nil
	}
	var p50, p99, cpu [2][]float64
	var ratios []float64 // of p99, by turns
	if err := p.without(ctx); err != nil {
		return fmt.Errorf("%s: %w", p.title, err)
	}
	if _, err := c.create(ctx, o.creates); err != nil { // warms the server up
		return fmt.Errorf("%s: %w", p.title, err)
	}
	if err := c.clear(ctx); err != nil {
		return fmt.Errorf("%s: %w", p.title, err)
	}
	for turn := range 2 * o.rounds {
		side := turn % 2
		if turn > 0 {
			next := []func(context.Context) error{p.without, p.with}[side]
			if err := next(ctx); err != nil {
				return fmt.Errorf("%s: %w", p.title, err)
			}
		}
		if err := s.settle(ctx); err != nil {
			return fmt.Errorf("%s: %w", p.title, err)
		}
		if err := s.collect(ctx); err != nil {
			return fmt.Errorf("%s: %w", p.title, err)
		}
		before, err := s.cpu()
		if err != nil {
			return fmt.Errorf("%s: %w", p.title, err)
		}
		took, err := c.create(ctx, o.creates)
		if err != nil {
			return fmt.Errorf("%s: %w", p.title, err)
		}
		after, err := s.cpu()
		if err != nil {
			return fmt.Errorf("%s: %w", p.title, err)
		}
		cpu[side] = append(cpu[side], float64(after-before)/float64(o.creates))
		p50[side] = append(p50[side], float64(took[len(took)/2]))
		p99[side] = append(p99[side], float64(took[len(took)*99/100]))
		if err := c.clear(ctx); err != nil {
			return fmt.Errorf("%s: %w", p.title, err)
		}
	}
	if err := p.without(ctx); err != nil {
		return fmt.Errorf("%s: %w", p.title, err)
	}
	for i := range p99[0] {
		ratios = append(ratios, p99[1][i]/p99[0][i])
	}
	ratio, verdict := median(ratios), ""
	low, high := interval(ratios)
	if target {
		verdict = "≤ 1.05, " + map[bool]string{true: "met", false: "missed"}[ratio <= 1.05]
	}
	fmt.Fprintf(os.Stderr, "%s: %.2f (%.2f to %.2f), by turns %.2f\n", p.title, ratio, low, high, ratios)
	fmt.Fprintf(b, "| %s | %.2f | %.2f to %.2f | %s | %s | %s | %s | %s | %s | %s |\n", p.title, ratio, low, high, verdict, nanoseconds(median(cpu[0])), nanoseconds(median(cpu[1])), nanoseconds(median(p50[0])), nanoseconds(median(p50[1])), nanoseconds(median(p99[0])), nanoseconds(median(p99[1])))
	return nil
}

// interval is where the median is 19 of 20 times when turns are drawn anew.
func interval(ratios []float64) (low, high float64) {
	r := rand.New(rand.NewPCG(1, 1))
	const times = 2000
	medians := make([]float64, times)
	for i := range medians {
		drawn := make([]float64, len(ratios))
		for j := range drawn {
			drawn[j] = ratios[r.IntN(len(ratios))]
		}
		medians[i] = median(drawn)
	}
	slices.Sort(medians)
	return medians[times/40], medians[times-1-times/40]
}

// toggled is a phase that creates policies, and takes them away.
func (c *caller) toggled(title string, all []*unstructured.Unstructured) phase {
	return phase{title: title,
		with: func(ctx context.Context) error {
			if err := c.apply(ctx, all); err != nil {
				return err
			}
			return c.refuses(ctx, true)
		},
		without: func(ctx context.Context) error {
			if err := c.remove(ctx, all); err != nil {
				return err
			}
			return c.refuses(ctx, false)
		}}
}

// constraints are 100 of ten templates: ten kinds, and not a hundred, for each kind is a
// CustomResourceDefinition of the server, which costs it more than the policy.
func constraints() (s stated, err error) {
	if err := s.policies(inRego, "", pods, len(rules)); err != nil {
		return s, err
	}
	for _, o := range s.second[:len(rules)] {
		for i := 1; i < inForce/len(rules); i++ {
			another := o.DeepCopy()
			another.SetName(fmt.Sprintf("another%d", i))
			s.second = append(s.second, another)
		}
	}
	return s, nil
}

func (o *options) atStock(ctx context.Context, dir string, b *strings.Builder) error {
	s, err := startStock(ctx, o.oracle, dir)
	if err != nil {
		return err
	}
	defer s.stop()
	c, err := newCaller(ctx, s.config, o.clients)
	if err != nil {
		return err
	}
	var native stated
	if err := native.policies(inVAP, "", pods, inForce); err != nil {
		return err
	}
	if err := o.measure(ctx, b, s, c, false, c.toggled(fmt.Sprintf("stock, %d ValidatingAdmissionPolicies", inForce), append(native.first, native.second...))); err != nil {
		return err
	}
	all, err := constraints()
	if err != nil {
		return err
	}
	if err := c.gatekeeperKinds(ctx, o.oracle, all.second); err != nil {
		return err
	}
	if o.webhook != "" {
		if err := o.atGatekeeper(ctx, s, c, all, b); err != nil {
			return err
		}
	}
	if err := o.attached(ctx, s, c); err != nil {
		return err
	}
	if err := c.apply(ctx, all.first); err != nil {
		return err
	}
	return o.measure(ctx, b, s, c, false, c.toggled(fmt.Sprintf("stock with gatehouse attach, %d constraints in Rego", inForce), all.second))
}

func (o *options) atServe(ctx context.Context, dir string, b *strings.Builder) error {
	s, err := startGatehouse(ctx, o.gatehouse, dir)
	if err != nil {
		return err
	}
	defer s.stop()
	c, err := newCaller(ctx, s.config, o.clients)
	if err != nil {
		return err
	}
	var native stated
	if err := native.policies(inVAP, "", pods, inForce); err != nil {
		return err
	}
	if err := o.measure(ctx, b, s, c, true, c.toggled(fmt.Sprintf("gatehouse serve, %d ValidatingAdmissionPolicies", inForce), append(native.first, native.second...))); err != nil {
		return err
	}
	var few stated
	if err := few.policies(inVAP, "", pods, matching); err != nil {
		return err
	}
	if err := few.policies(inVAP, "Other", others, inForce-matching); err != nil {
		return err
	}
	if err := o.measure(ctx, b, s, c, true, c.toggled(fmt.Sprintf("gatehouse serve, %d ValidatingAdmissionPolicies of which %d match", inForce, matching), append(few.first, few.second...))); err != nil {
		return err
	}
	all, err := constraints()
	if err != nil {
		return err
	}
	if err := c.gatekeeperKinds(ctx, o.oracle, all.second); err != nil {
		return err
	}
	if err := c.apply(ctx, all.first); err != nil {
		return err
	}
	return o.measure(ctx, b, s, c, true, c.toggled(fmt.Sprintf("gatehouse serve, %d constraints in Rego", inForce), all.second))
}

// gatekeeperKinds are Gatekeeper's CustomResourceDefinitions, from its own chart, and
// those of the constraints, which its controller makes too where it runs.
func (c *caller) gatekeeperKinds(ctx context.Context, oracle string, all []*unstructured.Unstructured) error {
	out, err := exec.CommandContext(ctx, "go", "-C", filepath.Join(oracle, "gatekeeper"), "list", "-m", "-f", "{{.Dir}}", "github.com/open-policy-agent/gatekeeper/v3").Output()
	if err != nil {
		return fmt.Errorf("find Gatekeeper's module: %w", err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), "charts", "gatekeeper", "crds", "*.yaml"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("find Gatekeeper's CustomResourceDefinitions: %w", err)
	}
	var kinds stated
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := kinds.add(&kinds.first, string(data)); err != nil {
			return err
		}
	}
	seen := map[string]bool{}
	for _, o := range all {
		kind := o.GetKind()
		if seen[kind] {
			continue
		}
		seen[kind] = true
		plural := strings.ToLower(kind)
		if err := kinds.add(&kinds.first, "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: "+plural+".constraints.gatekeeper.sh}\nspec:\n  group: constraints.gatekeeper.sh\n  scope: Cluster\n  names: {kind: "+kind+", plural: "+plural+", singular: "+plural+", listKind: "+kind+"List}\n  versions:\n  - {name: v1beta1, served: true, storage: true, subresources: {status: {}}, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}\n"); err != nil {
			return err
		}
	}
	return c.apply(ctx, kinds.first)
}

// atGatekeeper runs Gatekeeper's own program, controllers and webhook, as its chart does
// but for the certificate; its webhook is registered, and taken away.
func (o *options) atGatekeeper(ctx context.Context, s *side, c *caller, all stated, b *strings.Builder) error {
	address, err := freeAddress()
	if err != nil {
		return err
	}
	health, err := freeAddress()
	if err != nil {
		return err
	}
	certs := s.path("certs")
	if err := os.MkdirAll(certs, 0o700); err != nil {
		return err
	}
	for from, to := range map[string]string{"server.crt": "tls.crt", "server.key": "tls.key"} {
		data, err := os.ReadFile(s.path(from))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(certs, to), data, 0o600); err != nil {
			return err
		}
	}
	var around stated
	if err := around.add(&around.first, "{apiVersion: v1, kind: Namespace, metadata: {name: gatekeeper-system}}"); err != nil {
		return err
	}
	if err := c.apply(ctx, around.first); err != nil {
		return err
	}
	program, err := s.launch("gatekeeper", o.webhook, []string{"POD_NAMESPACE=gatekeeper-system", "POD_NAME=bench", "KUBECONFIG=" + s.path("admin.kubeconfig")},
		"--operation=webhook", "--debug-use-fake-pod", "--disable-cert-rotation", "--cert-dir="+certs, "--host=127.0.0.1", "--port="+portOf(address), "--health-addr="+health,
		"--log-level=WARNING", "--kubeconfig="+s.path("admin.kubeconfig"), "--prometheus-port=0")
	if err != nil {
		return err
	}
	defer func() {
		end(program)
		s.procs = s.procs[:len(s.procs)-1]
	}()
	if err := c.apply(ctx, append(all.first, all.second...)); err != nil {
		return err
	}
	if err := until(ctx, "Gatekeeper", 2*time.Minute, func(ctx context.Context) error { return get(ctx, http.DefaultClient, "http://"+health+"/readyz") }); err != nil {
		return fmt.Errorf("%w\n%s", err, s.log("gatekeeper"))
	}
	ca, err := os.ReadFile(s.path("server.crt"))
	if err != nil {
		return err
	}
	var hook stated
	if err := hook.add(&hook.first, "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingWebhookConfiguration\nmetadata: {name: gatekeeper-validating-webhook-configuration}\nwebhooks:\n- name: validation.gatekeeper.sh\n  admissionReviewVersions: [v1, v1beta1]\n  sideEffects: None\n  failurePolicy: Fail\n  timeoutSeconds: 30\n  matchPolicy: Exact\n  clientConfig: {url: \"https://"+address+"/v1/admit\", caBundle: "+base64.StdEncoding.EncodeToString(ca)+"}\n  rules: [{apiGroups: ['*'], apiVersions: ['*'], operations: [CREATE, UPDATE], resources: ['*']}]\n"); err != nil {
		return err
	}
	return o.measure(ctx, b, s, c, false, c.toggled(fmt.Sprintf("stock with Gatekeeper 3.23.1, %d constraints in Rego", inForce), hook.first))
}

// attached runs gatehouse attach beside a stock API server, with its objects.
func (o *options) attached(ctx context.Context, s *side, c *caller) error {
	address, err := freeAddress()
	if err != nil {
		return err
	}
	health, err := freeAddress()
	if err != nil {
		return err
	}
	settings := s.path("attach.yaml")
	if err := os.WriteFile(settings, []byte("apiVersion: gatehouse.io/v1alpha1\nkind: AttachConfiguration\ncluster: {kubeconfig: "+s.path("admin.kubeconfig")+"}\nlisten: \""+address+"\"\nhealthListen: \""+health+"\"\ntls: {dataDir: "+s.path("attach")+"}\nadmission: {webhooks: Managed, url: \"https://"+address+"\"}\n"), 0o600); err != nil {
		return err
	}
	if _, err := s.launch("attach", o.gatehouse, nil, "attach", "--config", settings); err != nil {
		return err
	}
	var printed []byte
	if err := until(ctx, "what gatehouse attach prints", time.Minute, func(ctx context.Context) error {
		cmd := exec.CommandContext(ctx, o.gatehouse, "attach", "manifests", "--data-dir", s.path("attach"), "--server", "https://"+address, "--folder", s.dir)
		printed, err = cmd.Output()
		return err
	}); err != nil {
		return err
	}
	var kinds stated
	for _, document := range strings.Split(string(printed), "\n---\n") {
		var head struct{ Kind string }
		if yaml.Unmarshal([]byte(document), &head) == nil && head.Kind == "CustomResourceDefinition" {
			if err := kinds.add(&kinds.first, document); err != nil {
				return err
			}
		}
	}
	if err := c.apply(ctx, kinds.first); err != nil {
		return err
	}
	if err := until(ctx, "gatehouse attach", 2*time.Minute, func(ctx context.Context) error { return get(ctx, http.DefaultClient, "http://"+health+"/readyz") }); err != nil {
		return fmt.Errorf("%w\n%s", err, s.log("attach"))
	}
	return nil
}
