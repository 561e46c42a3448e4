// Package manifest answers: which objects do these paths stand for, and where was
// each field of them written?
//
//	summary, err := manifest.Read(ctx, []string{"deploy", "charts/shop", "-"}, manifest.Options{Stdin: os.Stdin}, func(o *manifest.Object) error {
//		at := o.Position("spec.containers[0].image")
//		fmt.Println(at, o.GetKind(), o.GetName()) // deploy/pod.yaml:9:14 Pod api
//		return nil
//	})
//
// A path is a YAML or JSON file (several documents, lists), a folder, a folder
// with a kustomization, a Helm chart (a folder or a .tgz), or "-". Folders are gone
// through; a kustomization or a chart in one is built, and the files it is made of
// are not read once more by themselves. A kustomization that another one of the
// same run builds upon is checked as part of that one, not by itself.
//
// # Places
//
// Position follows a field to where a person would change it. In a file that is
// the field. Through a chart it is the line of the template, where exactly one
// line of it can have made the rendered one. Through a kustomization it is the
// field in the file that the object comes from, where it still has the value that
// was written there. Where a place is not known, it is the nearest field around
// it whose place is, and Exact is false.
//
// # Invariants
//
//   - Objects are handed on as they are read; none is kept. What a chart or a
//     kustomization makes is held until it has been handed on.
//   - What cannot be read is an error with file, line and column, and every other
//     object is still handed on. A document of a folder that is no Kubernetes object
//     is counted (Summary.Aside); in a file that was named it is an error.
//   - Nothing is executed and nothing is fetched: no plugins, no functions, no git,
//     no HTTP, no cluster, no DNS. A remote base is an error. Kustomizations load
//     files from below their own folder alone.
//   - Aliases, depth and sizes are bounded, as are the loops of templates and the
//     time a chart may render. Go cannot stop a template: after the time has passed
//     it is left behind and ends with the process.
//
// Objects come in the order of the files, with Options.Workers 1: plain files
// first, then charts, then kustomizations.
package manifest
