package serve

import (
	"context"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	utilflowcontrol "k8s.io/apiserver/pkg/util/flowcontrol"
	fq "k8s.io/apiserver/pkg/util/flowcontrol/fairqueuing"
	fcrequest "k8s.io/apiserver/pkg/util/flowcontrol/request"
)

// plainFlowControl queues system:masters as it does anyone: upstream's
// mandatory FlowSchema "exempt" would let its members past every limit. The
// server's own loopback connection stays exempt.
type plainFlowControl struct {
	utilflowcontrol.Interface
	chain *authorizerChain
}

// Handle implements utilflowcontrol.Interface.
func (f plainFlowControl) Handle(ctx context.Context, digest utilflowcontrol.RequestDigest,
	noteFn func(*flowcontrolv1.FlowSchema, *flowcontrolv1.PriorityLevelConfiguration, string),
	workEstimator func() fcrequest.WorkEstimate, queueNoteFn fq.QueueNoteFn, execFn func()) {
	if !f.chain.isLoopback(digest.User) {
		digest.User = withoutMasters(digest.User)
	}
	f.Interface.Handle(ctx, digest, noteFn, workEstimator, queueNoteFn, execFn)
}
