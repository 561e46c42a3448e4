package replay

// PolicyReport and Unrecorded are placeholders.
type PolicyReport struct{}
type Unrecorded struct{}
