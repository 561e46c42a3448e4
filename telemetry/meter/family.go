package meter

import (
	"k8s.io/component-base/metrics"
)

// Value is one number of a Family, with the values of its labels in their order.
type Value struct {
	Labels []string
	Number float64
}

// Family is a metric whose numbers somebody else has.
type Family struct {
	Name, Help string
	Labels     []string
	// Counter says that the numbers only grow. Default: a gauge.
	Counter bool
	// Read gives the numbers of now. It is called from several goroutines.
	Read func() []Value
}

// Gauge is a Family of one number without labels.
func Gauge(name, help string, read func() float64) Family {
	return Family{Name: name, Help: help, Read: func() []Value { return []Value{{Number: read()}} }}
}

// Counter is Gauge for a number that only grows.
func Counter(name, help string, read func() float64) Family {
	f := Gauge(name, help, read)
	f.Counter = true
	return f
}

// Of is a Value with one label.
func Of(label string, number float64) Value { return Value{Labels: []string{label}, Number: number} }

// families is a collector of them.
type families struct {
	metrics.BaseStableCollector
	all   []Family
	descs []*metrics.Desc
}

// Collector gives families to a registry.
func Collector(all ...Family) metrics.StableCollector {
	c := &families{all: all}
	for _, f := range all {
		c.descs = append(c.descs, metrics.NewDesc(f.Name, f.Help, f.Labels, nil, metrics.ALPHA, ""))
	}
	return c
}

// DescribeWithStability implements metrics.StableCollector.
func (c *families) DescribeWithStability(to chan<- *metrics.Desc) {
	for _, d := range c.descs {
		to <- d
	}
}

// CollectWithStability implements metrics.StableCollector.
func (c *families) CollectWithStability(to chan<- metrics.Metric) {
	for i, f := range c.all {
		kind := metrics.GaugeValue
		if f.Counter {
			kind = metrics.CounterValue
		}
		for _, v := range f.Read() {
			to <- metrics.NewLazyConstMetric(c.descs[i], kind, v.Number, v.Labels...)
		}
	}
}
