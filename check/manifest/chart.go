package manifest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/loader/archive"
	helmchart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/engine"
	"k8s.io/component-base/version"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/cluster"
)

// release is one chart that is rendered.
type release struct {
	path   string // as the caller wrote it
	opts   *HelmOptions
	files  []*archive.BufferedFile
	values map[string]any // those of the caller
	caps   *common.Capabilities
}

// chart hands on what a chart renders.
func (r *reader) chart(ctx context.Context, path string) {
	c := &release{path: path, opts: &r.opts.Helm}
	if problem := c.load(r.opts.MaxFileBytes); problem != nil {
		r.problem(problem)
		return
	}
	chart, problem := c.fresh()
	if problem != nil {
		r.problem(problem)
		return
	}
	if chart.Metadata.Type == "library" {
		r.note(path + " is a library chart, which makes no objects by itself")
		return
	}
	if problem := c.prepare(chart); problem != nil {
		r.problem(problem)
		return
	}
	templates := c.templates(chart)
	out, problem := c.render(ctx, templates)
	if problem != nil {
		r.problem(problem)
		return
	}
	if !c.opts.WithoutCRDs {
		c.each(chart, "", func(ch *helmchart.Chart, dir string) {
			for _, f := range ch.Files {
				if strings.HasPrefix(f.Name, "crds/") && isYAML(f.Name) {
					r.rendered(ctx, c, &output{template: &template{file: c.file(dir, f.Name), text: string(f.Data)}, text: string(f.Data)})
				}
			}
		})
	}
	for _, o := range out {
		r.rendered(ctx, c, o)
	}
}

// load reads the files of the chart, and the values of the caller.
func (c *release) load(most int64) *v1alpha1.FieldError {
	var err error
	if isFile(c.path) {
		var in *os.File
		if in, err = os.Open(c.path); err == nil {
			c.files, err = archive.LoadArchiveFiles(in)
			in.Close()
		}
	} else {
		c.files, err = chartFiles(c.path, c.opts.AnyFile)
	}
	if err != nil {
		return c.wrong("the chart cannot be read: "+oneLine(reason(err)), "")
	}
	if c.caps, err = capabilities(c.opts); err != nil {
		return &v1alpha1.FieldError{File: c.path, Message: "the version of Kubernetes is none: " + oneLine(err.Error()), Hint: "write it as 1.37"}
	}
	var problem *v1alpha1.FieldError
	c.values, problem = c.opts.values(most)
	return problem
}

func capabilities(opts *HelmOptions) (*common.Capabilities, error) {
	caps := common.DefaultCapabilities.Copy()
	kube, err := common.ParseKubeVersion(cmp.Or(opts.KubeVersion, version.DefaultKubeBinaryVersion))
	if err != nil {
		return nil, err
	}
	caps.KubeVersion = *kube
	caps.APIVersions = slices.Concat(caps.APIVersions, opts.APIVersions)
	return caps, nil
}

// fresh is the chart, of its files: rendering may change what it is given.
func (c *release) fresh() (made *helmchart.Chart, problem *v1alpha1.FieldError) {
	defer func() {
		if p := recover(); p != nil {
			made, problem = nil, c.wrong(fmt.Sprintf("the chart cannot be read: %v", p), "")
		}
	}()
	files := make([]*archive.BufferedFile, len(c.files))
	for i, f := range c.files {
		kept := *f
		files[i] = &kept
	}
	made, err := loader.LoadFiles(files)
	if err != nil {
		return nil, c.wrong("the chart cannot be read: "+oneLine(err.Error()), "")
	}
	return made, nil
}

// prepare checks that the chart is whole, and sorts out its dependencies.
func (c *release) prepare(made *helmchart.Chart) *v1alpha1.FieldError {
	var missing []string
	for _, want := range made.Metadata.Dependencies {
		if want != nil && !slices.ContainsFunc(made.Dependencies(), func(have *helmchart.Chart) bool { return have.Name() == want.Name }) {
			missing = append(missing, want.Name)
		}
	}
	if len(missing) > 0 {
		return c.wrong("its dependencies are not in its folder charts: "+oneLine(strings.Join(missing, ", ")), "run helm dependency build; nothing is fetched here")
	}
	if err := chartutil.ProcessDependencies(made, maps.Clone(c.values)); err != nil {
		return c.wrong("its dependencies cannot be sorted out: "+oneLine(err.Error()), "")
	}
	if want := made.Metadata.KubeVersion; want != "" && !chartutil.IsCompatibleRange(want, c.caps.KubeVersion.String()) {
		return c.wrong(fmt.Sprintf("the chart wants Kubernetes %s, and this is %s", oneLine(want), c.caps.KubeVersion.Version), "say which version it is for")
	}
	return nil
}

// wrong is a problem of the chart as a whole.
func (c *release) wrong(message, hint string) *v1alpha1.FieldError {
	file := c.path
	if !isFile(c.path) {
		file = filepath.Join(c.path, chartFile)
	}
	return &v1alpha1.FieldError{File: file, Message: message, Hint: hint}
}

// template is a file of the chart, or of a chart in it.
type template struct {
	key  string // the engine's name for it
	file string // as the caller would write it
	text string
}

// templates are those of the chart and of the ones in it, by the engine's names.
func (c *release) templates(made *helmchart.Chart) []*template {
	var all []*template
	c.each(made, "", func(ch *helmchart.Chart, dir string) {
		for _, t := range ch.Templates {
			all = append(all, &template{key: path.Join(ch.ChartFullPath(), t.Name), file: c.file(dir, t.Name), text: string(t.Data)})
		}
	})
	return all
}

// each visits a chart and the ones in it, with their folders in the chart.
func (c *release) each(ch *helmchart.Chart, dir string, visit func(ch *helmchart.Chart, dir string)) {
	visit(ch, dir)
	// The library has put the aliases in the place of the names.
	var said struct {
		Dependencies []struct{ Name, Alias string }
	}
	for _, f := range c.files {
		if f.Name == path.Join(dir, chartFile) || f.Name == path.Join(dir, "requirements.yaml") {
			_ = yaml.Unmarshal(f.Data, &said)
		}
	}
	for _, sub := range ch.Dependencies() {
		name := sub.Name()
		for _, d := range said.Dependencies {
			if d.Alias == name {
				name = d.Name
			}
		}
		c.each(sub, c.below(path.Join(dir, "charts"), name), visit)
	}
}

// below is the folder, or the archive, of a chart among the dependencies of another
// one: it need not have its name.
func (c *release) below(charts, name string) string {
	archived := ""
	for _, f := range c.files {
		rest, ok := strings.CutPrefix(f.Name, charts+"/")
		if !ok {
			continue
		}
		if folder, file, _ := strings.Cut(rest, "/"); file == chartFile {
			var said struct{ Name string }
			if yaml.Unmarshal(f.Data, &said) == nil && said.Name == name {
				return path.Join(charts, folder)
			}
		}
		if version, ok := strings.CutPrefix(rest, name+"-"); ok && isArchive(rest) && !strings.Contains(version, "/") {
			archived = f.Name
		}
	}
	return cmp.Or(archived, path.Join(charts, name))
}

// file is the name of a file of the chart as the caller would write it.
func (c *release) file(dir, name string) string {
	return filepath.Join(c.path, filepath.FromSlash(dir), filepath.FromSlash(name))
}

// output is what a template made.
type output struct {
	template *template
	text     string
	lines    []mark // where each line comes from, from 0; nil where that is not known
	files    map[string]*template
}

// render renders all templates, and finds out where their lines come from.
func (c *release) render(ctx context.Context, templates []*template) ([]*output, *v1alpha1.FieldError) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.opts.Timeout, errSlow)
	defer cancel()
	byKey, byFile := map[string]*template{}, map[string]*template{}
	for _, t := range templates {
		byKey[t.key], byFile[t.file] = t, t
	}
	// A marked one goes first: it is watched, and stops where the plain one would not.
	var marked map[string]string
	how := everywhere
	for ; how <= nowhere; how++ {
		var err error
		if marked, err = c.run(ctx, &marker{how: how, templates: templates}); err == nil {
			break
		}
		if errors.Is(err, errBusy) || ctx.Err() != nil {
			return nil, c.failed(ctx, err, byKey)
		}
	}
	plain, err := c.run(ctx, nil)
	if err != nil {
		return nil, c.failed(ctx, err, byKey)
	}
	var fewer map[string]string // of marks; rendered where it is needed
	var all []*output
	for _, key := range slices.Sorted(maps.Keys(plain)) {
		t := byKey[key]
		if t == nil || path.Base(key) == "NOTES.txt" || strings.TrimSpace(plain[key]) == "" {
			continue
		}
		o := &output{template: t, text: plain[key], files: byFile}
		if how < nowhere {
			o.lines = unmark(marked[key], plain[key], templates)
		}
		if o.lines == nil && how == everywhere {
			if fewer == nil {
				fewer, _ = c.run(ctx, &marker{how: bodies, templates: templates})
			}
			o.lines = unmark(fewer[key], plain[key], templates)
		}
		all = append(all, o)
	}
	return all, nil
}

// errSlow and errBusy end a template that takes too long.
var (
	errSlow = errors.New("it takes too long")
	errBusy = errors.New("it does too much")
)

// run renders the chart once; with marks where m is given.
func (c *release) run(ctx context.Context, m *marker) (map[string]string, error) {
	made, problem := c.fresh()
	if problem != nil {
		return nil, errors.New(problem.Message)
	}
	if problem := c.prepare(made); problem != nil {
		return nil, errors.New(problem.Message)
	}
	if m != nil {
		m.mark(made)
	}
	values, err := util.ToRenderValuesWithSchemaValidation(made, maps.Clone(c.values),
		common.ReleaseOptions{Name: c.opts.Release, Namespace: c.opts.Namespace, Revision: 1, IsInstall: !c.opts.Upgrade, IsUpgrade: c.opts.Upgrade}, c.caps, true)
	if err != nil {
		return nil, err
	}
	if m == nil {
		if err := validate(made, values["Values"]); err != nil {
			return nil, err
		}
	}
	type result struct {
		out map[string]string
		err error
	}
	done := make(chan result, 1)
	go func() {
		e := engine.Engine{CustomTemplateFuncs: bounds(ctx)}
		out, err := e.Render(made, values)
		done <- result{out, err}
	}()
	select {
	case r := <-done:
		if r.err != nil && (ctx.Err() != nil || strings.Contains(r.err.Error(), errBusy.Error())) {
			return nil, fmt.Errorf("%w: %w", errBusy, r.err)
		}
		return r.out, r.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// placed finds the place in an error of the engine, executed what goes before it, and
// evaluated the text of a value that was used as a template, which may be secret.
var (
	placed    = regexp.MustCompile(`([^\s()"<>:]+):(\d+)(?::(\d+))?`)
	executed  = regexp.MustCompile(`^execution error at \([^()]*\): `)
	evaluated = regexp.MustCompile(`(cannot parse template|error during tpl function execution for) "(?:[^"\\]|\\.)*"?`)
)

func (c *release) failed(ctx context.Context, err error, templates map[string]*template) *v1alpha1.FieldError {
	if errors.Is(context.Cause(ctx), errSlow) {
		return c.wrong(fmt.Sprintf("the chart did not render within %s", c.opts.Timeout.Round(time.Millisecond)), "look for a loop in its templates")
	}
	e := c.wrong("", "")
	if errors.Is(err, errBusy) {
		// It was a template with marks that was ended: its places are none.
		e.Message, e.Hint = "the chart cannot be rendered: it does too much", "look for a loop in its templates, or for one that makes very long text"
		for _, m := range placed.FindAllStringSubmatch(err.Error(), -1) {
			if t := templates[m[1]]; t != nil {
				e.File = t.file
				break
			}
		}
		return e
	}
	text := oneLine(evaluated.ReplaceAllString(executed.ReplaceAllString(err.Error(), ""), "$1 a value"))
	for _, m := range placed.FindAllStringSubmatch(err.Error(), -1) {
		if t := templates[m[1]]; t != nil {
			e.File = t.file
			e.Line, _ = strconv.Atoi(m[2])
			e.Col, _ = strconv.Atoi(m[3])
			e.Col++ // the engine counts columns from 0
			break
		}
	}
	e.Message, e.Hint = "the chart cannot be rendered: "+text, "give the values that it needs"
	return e
}

// rendered hands on the objects of what a template made.
func (r *reader) rendered(ctx context.Context, c *release, o *output) {
	opts := r.opts.files()
	err := cluster.TreesOf(ctx, o.template.file, []byte(o.text), opts, func(t *cluster.Tree) {
		if object := r.object(t); object != nil {
			object.places = &fromTemplate{o, t}
			object.Made, object.Way, object.Home = c.path, Rendered, c.opts.Namespace
			at := object.Position("")
			object.Source.File, object.Source.Line, object.Column = at.File, at.Line, at.Column
			r.hand(ctx, object)
		}
	})
	list := v1alpha1.FieldErrorList{}
	if errors.As(err, &list) {
		for _, e := range list {
			r.problem(o.place(e))
		}
	}
}
