package rego

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/open-policy-agent/frameworks/constraint/pkg/client/drivers/rego/schema"
	"github.com/open-policy-agent/frameworks/constraint/pkg/core/templates"
	"github.com/open-policy-agent/frameworks/constraint/pkg/regorewriter"
	"github.com/open-policy-agent/opa/v1/ast"
)

// Engine is the name of Rego among the engines of a template's code.
const Engine = schema.Name

// The names that Gatekeeper gives to the parts of a template: errors and messages that
// show a place begin with them.
const (
	mainName   = "template"
	libsPrefix = "libs"
)

// externs are the data that a template may look up without stating it.
var externs = []string{"data.inventory"}

// violations is what is asked of a template: each violation's message, and what else it
// says. It is what Gatekeeper's own query takes of them.
const violations = `data.template.violation[r]; message = r.msg; details = object.get(r, "details", {})`

const (
	messageVar = ast.Var("message")
	detailsVar = ast.Var("details")
)

// Options shape a Compiler.
type Options struct {
	// Without are functions of Rego that no template may use. Default: all may be used.
	Without []string
}

// Compiler compiles templates. It is safe for concurrent use.
type Compiler struct {
	capabilities *ast.Capabilities
	query        ast.Body
}

// NewCompiler takes up the functions that OPA knows by now.
func NewCompiler(opts Options) (*Compiler, error) {
	query, err := ast.ParseBody(violations)
	if err != nil {
		return nil, fmt.Errorf("parse the query: %w", err)
	}
	c := &Compiler{capabilities: ast.CapabilitiesForThisVersion(), query: query}
	c.capabilities.Builtins = slices.DeleteFunc(slices.Clone(c.capabilities.Builtins), func(b *ast.Builtin) bool { return slices.Contains(opts.Without, b.Name) })
	return c, nil
}

// Program is the Rego of a template, compiled.
type Program struct {
	compiler *ast.Compiler
	asked    ast.Body
	query    ast.QueryCompiler
	reads    func() known
}

// Compile compiles the first code in Rego of a template's target.
func (c *Compiler) Compile(target *templates.Target) (*Program, error) {
	at := slices.IndexFunc(target.Code, func(code templates.Code) bool { return code.Engine == Engine })
	if at < 0 || target.Code[at].Source == nil {
		return nil, errors.New("there is no Rego in the template")
	}
	source, err := schema.GetSource(target.Code[at])
	if err != nil {
		return nil, err
	}
	modules, err := parse(source)
	if err != nil {
		return nil, err
	}
	p := &Program{compiler: ast.NewCompiler().WithCapabilities(c.capabilities)}
	if p.compiler.Compile(modules); p.compiler.Failed() {
		return nil, fmt.Errorf("compile the Rego: %w", p.compiler.Errors)
	}
	p.query = p.compiler.QueryCompiler()
	if p.asked, err = p.query.Compile(c.query.Copy()); err != nil {
		return nil, fmt.Errorf("compile the query for its violations: %w", err)
	}
	p.reads = sync.OnceValue(func() known { return follow(p.compiler) })
	return p, nil
}

// parse gives the modules their places: the template's own is data.template, and its
// libraries are below data.libs, whatever their packages are called.
func parse(source *schema.Source) (map[string]*ast.Module, error) {
	rewriter, err := regorewriter.New(regorewriter.NewPackagePrefixer(libsPrefix), []string{"data.lib"}, externs)
	if err != nil {
		return nil, err
	}
	opts := ast.ParserOptions{RegoVersion: ast.RegoV0}
	if source.Version == "v1" {
		opts.RegoVersion = ast.RegoV1
	}
	read := func(name, text string) (*ast.Module, error) {
		module, err := ast.ParseModuleWithOpts(name, text, opts)
		if err == nil && module == nil {
			err = fmt.Errorf("%s: the module is empty", name)
		}
		return module, err
	}
	main, err := read(mainName, source.Rego)
	if err != nil {
		return nil, err
	}
	main.Package.Path = ast.Ref{ast.DefaultRootDocument, ast.StringTerm(mainName)}
	if !slices.ContainsFunc(main.Rules, func(r *ast.Rule) bool { return r.Head.Name == "violation" }) {
		return nil, errors.New("the Rego has no rule violation")
	}
	rewriter.AddEntryPointModule(mainName, main)
	for i, text := range source.Libs {
		name := fmt.Sprintf("%s[\"lib_%d\"]", libsPrefix, i)
		lib, err := read(name, text)
		if err != nil {
			return nil, err
		}
		if err := rewriter.AddLib(name, lib); err != nil {
			return nil, err
		}
	}
	rewritten, err := rewriter.Rewrite()
	if err != nil {
		return nil, err
	}
	modules := make(map[string]*ast.Module, 1+len(source.Libs))
	for _, m := range slices.Concat(rewritten.EntryPoints, rewritten.Libs) {
		modules[fmt.Sprintf("%s%d", mainName, len(modules))] = m.Module
	}
	return modules, nil
}
