package rego

func (p *Program) Why() string { return p.reads().why }
