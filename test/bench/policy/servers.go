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

// inForce is how many policies there are at servers, and matching how many of them
// match where not all do.
const inForce, matching = 100, 16

// started is how long a server has before it is asked anything: what it does after its
// start, such as giving memory back, is not what is measured.
const started = 12 * time.Second

// trial is a server that runs, and the policies that are created before a turn with
// policies, and deleted before one without.
type trial struct {
	*side
	*caller
	policies []*unstructured.Unstructured
}

// row is a comparison of a server with itself, without policies and with them. What start
// returns beside an error, if anything, is to be stopped.
type row struct {
	title  string
	target bool
	start  func(ctx context.Context, dir string) (*trial, error)
}

// servers measures the creation of Pods through API servers.
func (o *options) servers(ctx context.Context) (string, error) {
	root, err := os.MkdirTemp("", "gh-bench-policy-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(root)
	rows, err := o.rowsOfServers()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "### Creation of Pods through API servers\n\n%d rounds, each at a server that was just started: four turns of %d Pods, %d at a time, without the policies, with them, with them, and without. Each turn begins without garbage. What is slowest is what a garbage collection slows down, and collections take longer the more changes a server remembers, so of two turns the later is the slower. What is told is the median of the rounds; of the ratio, that of the two sides of each, since the machine is faster and slower by rounds. 19 of 20 times that rounds are drawn anew from those that were measured it is in the interval. CPU is that of all programs of the server, webhooks included, for one Pod.\n\n", o.rounds, o.creates, o.clients)
	fmt.Fprint(&b, "| server | p99 with / without | interval | target | CPU without | CPU with | p50 without | p50 with | p99 without | p99 with |\n|---|--:|--:|---|--:|--:|--:|--:|--:|--:|\n")
	for _, r := range rows {
		if !strings.Contains(r.title, o.rows) {
			continue
		}
		if err := o.measure(ctx, &b, root, r); err != nil {
			return "", fmt.Errorf("%s: %w", r.title, err)
		}
	}
	return b.String(), nil
}

// rowsOfServers are the rows in the order of the page.
func (o *options) rowsOfServers() ([]row, error) {
	var native, few, rego stated
	for _, err := range []error{
		native.policies(inVAP, "", pods, inForce),
		few.policies(inVAP, "", pods, matching), few.policies(inVAP, "Other", others, inForce-matching),
		rego.constraints(),
	} {
		if err != nil {
			return nil, err
		}
	}
	return []row{
		{fmt.Sprintf("stock, %d ValidatingAdmissionPolicies", inForce), false, func(ctx context.Context, dir string) (*trial, error) {
			return o.stock(ctx, dir, native.all())
		}},
		{fmt.Sprintf("stock with Gatekeeper 3.23.1, %d constraints in Rego", inForce), false, func(ctx context.Context, dir string) (*trial, error) {
			t, err := o.stock(ctx, dir, nil)
			if err == nil {
				err = o.putGatekeeper(ctx, t, rego)
			}
			return t, err
		}},
		{fmt.Sprintf("stock with gatehouse attach, %d constraints in Rego", inForce), false, func(ctx context.Context, dir string) (*trial, error) {
			t, err := o.stock(ctx, dir, rego.second)
			if err == nil {
				err = o.putAttach(ctx, t, rego)
			}
			return t, err
		}},
		{fmt.Sprintf("gatehouse serve, %d ValidatingAdmissionPolicies", inForce), true, func(ctx context.Context, dir string) (*trial, error) {
			return o.serve(ctx, dir, native.all())
		}},
		{fmt.Sprintf("gatehouse serve, %d ValidatingAdmissionPolicies of which %d match", inForce, matching), true, func(ctx context.Context, dir string) (*trial, error) {
			return o.serve(ctx, dir, few.all())
		}},
		{fmt.Sprintf("gatehouse serve, %d constraints in Rego", inForce), true, func(ctx context.Context, dir string) (*trial, error) {
			t, err := o.serve(ctx, dir, rego.second)
			if err == nil {
				err = t.putTemplates(ctx, o.oracle, rego)
			}
			return t, err
		}},
	}, nil
}

// result is what the turns of one kind in a round took: nanoseconds, for a Pod.
type result struct{ cpu, p50, p99 float64 }

// measure takes the rounds of a row, and writes it.
func (o *options) measure(ctx context.Context, b *strings.Builder, root string, r row) error {
	var of [2][]result // without and with the policies
	var ratios []float64
	for range o.rounds {
		without, with, err := o.round(ctx, root, r)
		if err != nil {
			return err
		}
		of[0], of[1], ratios = append(of[0], without), append(of[1], with), append(ratios, with.p99/without.p99)
	}
	ratio, verdict := median(ratios), ""
	low, high := interval(ratios)
	if r.target {
		verdict = "≤ 1.05, " + map[bool]string{true: "met", false: "missed"}[ratio <= 1.05]
	}
	fmt.Fprintf(os.Stderr, "%s: %.2f (%.2f to %.2f), by rounds %.2f\n", r.title, ratio, low, high, ratios)
	fmt.Fprintf(b, "| %s | %.2f | %.2f to %.2f | %s |", r.title, ratio, low, high, verdict)
	for _, what := range []func(result) float64{func(r result) float64 { return r.cpu }, func(r result) float64 { return r.p50 }, func(r result) float64 { return r.p99 }} {
		for _, all := range of {
			var values []float64
			for _, m := range all {
				values = append(values, what(m))
			}
			fmt.Fprintf(b, " %s |", nanoseconds(median(values)))
		}
	}
	fmt.Fprintln(b)
	return nil
}

// round takes turns at a server of its own: without the policies, with them, with them
// once more, and without. What changes while turns are taken, such as the heap, which
// grows, is as much on both sides.
func (o *options) round(ctx context.Context, root string, r row) (without, with result, err error) {
	dir, err := os.MkdirTemp(root, "")
	if err != nil {
		return without, with, err
	}
	defer os.RemoveAll(dir)
	t, err := r.start(ctx, dir)
	if t != nil {
		defer t.stop()
	}
	if err != nil {
		return without, with, err
	}
	select {
	case <-ctx.Done():
		return without, with, ctx.Err()
	case <-time.After(started):
	}
	if _, _, err := o.turn(ctx, t); err != nil { // warms the server up
		return without, with, err
	}
	var took [2][]time.Duration
	var cpu [2]time.Duration
	for n, side := range []int{0, 1, 1, 0} {
		var change func(context.Context, []*unstructured.Unstructured) error
		switch n {
		case 1:
			change = t.apply
		case 3:
			change = t.remove
		}
		if change != nil {
			if err := change(ctx, t.policies); err != nil {
				return without, with, err
			}
			if err := t.refuses(ctx, side == 1); err != nil {
				return without, with, err
			}
		}
		of, used, err := o.turn(ctx, t)
		if err != nil {
			return without, with, err
		}
		took[side], cpu[side] = append(took[side], of...), cpu[side]+used
	}
	for side, m := range []*result{&without, &with} {
		all := took[side]
		slices.Sort(all)
		*m = result{float64(cpu[side]) / float64(len(all)), float64(all[len(all)/2]), float64(all[len(all)*99/100])}
	}
	return without, with, nil
}

// turn creates Pods and deletes them; what it returns is of the former.
func (o *options) turn(ctx context.Context, t *trial) (took []time.Duration, used time.Duration, err error) {
	if err := t.settle(ctx); err != nil {
		return nil, 0, err
	}
	if err := t.collect(ctx); err != nil {
		return nil, 0, err
	}
	before, err := t.cpu()
	if err != nil {
		return nil, 0, err
	}
	took, err = t.create(ctx, o.creates)
	if err != nil {
		return nil, 0, err
	}
	after, err := t.cpu()
	if err != nil {
		return nil, 0, err
	}
	return took, after - before, t.clear(ctx)
}

// interval is where the median is 19 of 20 times when rounds are drawn anew.
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

// constraints are 100 of ten templates: ten kinds, and not a hundred, for each kind is a
// CustomResourceDefinition of the server, which costs it more than the policy.
func (s *stated) constraints() error {
	if err := s.policies(inRego, "", pods, len(rules)); err != nil {
		return err
	}
	for _, o := range s.second[:len(rules)] {
		for i := 1; i < inForce/len(rules); i++ {
			another := o.DeepCopy()
			another.SetName(fmt.Sprintf("another%d", i))
			s.second = append(s.second, another)
		}
	}
	return nil
}

// trial is a trial at a side that was started, unless with an error.
func (o *options) trial(ctx context.Context, s *side, err error, policies []*unstructured.Unstructured) (*trial, error) {
	if err != nil {
		return nil, err
	}
	t := &trial{side: s, policies: policies}
	t.caller, err = newCaller(ctx, s.config, o.clients)
	return t, err
}

// stock starts a stock API server.
func (o *options) stock(ctx context.Context, dir string, policies []*unstructured.Unstructured) (*trial, error) {
	s, err := startStock(ctx, o.oracle, dir)
	return o.trial(ctx, s, err, policies)
}

// serve starts gatehouse serve as it comes.
func (o *options) serve(ctx context.Context, dir string, policies []*unstructured.Unstructured) (*trial, error) {
	s, err := startGatehouse(ctx, o.gatehouse, dir)
	return o.trial(ctx, s, err, policies)
}

// putTemplates creates what constraints need: their kinds, and the templates.
func (c *caller) putTemplates(ctx context.Context, oracle string, rego stated) error {
	if err := c.gatekeeperKinds(ctx, oracle, rego.second); err != nil {
		return err
	}
	return c.apply(ctx, rego.first)
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

// putGatekeeper runs Gatekeeper's own program, controllers and webhook, as its chart does
// but for the certificate, with the constraints. The policy of the trial is its webhook.
func (o *options) putGatekeeper(ctx context.Context, t *trial, rego stated) error {
	if err := t.gatekeeperKinds(ctx, o.oracle, rego.second); err != nil {
		return err
	}
	address, err := freeAddress()
	if err != nil {
		return err
	}
	health, err := freeAddress()
	if err != nil {
		return err
	}
	certs := t.path("certs")
	if err := os.MkdirAll(certs, 0o700); err != nil {
		return err
	}
	for from, to := range map[string]string{"server.crt": "tls.crt", "server.key": "tls.key"} {
		data, err := os.ReadFile(t.path(from))
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
	if err := t.apply(ctx, around.first); err != nil {
		return err
	}
	if _, err := t.launch("gatekeeper", o.webhook, []string{"POD_NAMESPACE=gatekeeper-system", "POD_NAME=bench", "KUBECONFIG=" + t.path("admin.kubeconfig")},
		"--operation=webhook", "--debug-use-fake-pod", "--disable-cert-rotation", "--cert-dir="+certs, "--host=127.0.0.1", "--port="+portOf(address), "--health-addr="+health,
		"--log-level=WARNING", "--kubeconfig="+t.path("admin.kubeconfig"), "--prometheus-port=0"); err != nil {
		return err
	}
	if err := t.apply(ctx, rego.all()); err != nil {
		return err
	}
	if err := until(ctx, "Gatekeeper", 2*time.Minute, func(ctx context.Context) error { return get(ctx, http.DefaultClient, "http://"+health+"/readyz") }); err != nil {
		return fmt.Errorf("%w\n%s", err, t.log("gatekeeper"))
	}
	ca, err := os.ReadFile(t.path("server.crt"))
	if err != nil {
		return err
	}
	var hook stated
	if err := hook.add(&hook.first, "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingWebhookConfiguration\nmetadata: {name: gatekeeper-validating-webhook-configuration}\nwebhooks:\n- name: validation.gatekeeper.sh\n  admissionReviewVersions: [v1, v1beta1]\n  sideEffects: None\n  failurePolicy: Fail\n  timeoutSeconds: 30\n  matchPolicy: Exact\n  clientConfig: {url: \"https://"+address+"/v1/admit\", caBundle: "+base64.StdEncoding.EncodeToString(ca)+"}\n  rules: [{apiGroups: ['*'], apiVersions: ['*'], operations: [CREATE, UPDATE], resources: ['*']}]\n"); err != nil {
		return err
	}
	t.policies = hook.first
	return nil
}

// putAttach runs gatehouse attach beside a stock API server, with its objects and the
// templates.
func (o *options) putAttach(ctx context.Context, t *trial, rego stated) error {
	address, err := freeAddress()
	if err != nil {
		return err
	}
	health, err := freeAddress()
	if err != nil {
		return err
	}
	settings := t.path("attach.yaml")
	if err := os.WriteFile(settings, []byte("apiVersion: gatehouse.io/v1alpha1\nkind: AttachConfiguration\ncluster: {kubeconfig: "+t.path("admin.kubeconfig")+"}\nlisten: \""+address+"\"\nhealthListen: \""+health+"\"\ntls: {dataDir: "+t.path("attach")+"}\nadmission: {webhooks: Managed, url: \"https://"+address+"\"}\n"), 0o600); err != nil {
		return err
	}
	if _, err := t.launch("attach", o.gatehouse, nil, "attach", "--config", settings); err != nil {
		return err
	}
	var printed []byte
	if err := until(ctx, "what gatehouse attach prints", time.Minute, func(ctx context.Context) error {
		cmd := exec.CommandContext(ctx, o.gatehouse, "attach", "manifests", "--data-dir", t.path("attach"), "--server", "https://"+address, "--folder", t.dir)
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
	if err := t.apply(ctx, kinds.first); err != nil {
		return err
	}
	if err := until(ctx, "gatehouse attach", 2*time.Minute, func(ctx context.Context) error { return get(ctx, http.DefaultClient, "http://"+health+"/readyz") }); err != nil {
		return fmt.Errorf("%w\n%s", err, t.log("attach"))
	}
	return t.putTemplates(ctx, o.oracle, rego)
}
