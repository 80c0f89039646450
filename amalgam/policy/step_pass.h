/*
 * step_pass.h - passThroughAuth by gRPC, as step_pass.c hands it on: documents, asking, the answer.
 */
#ifndef POLICY_STEP_PASS_H
#define POLICY_STEP_PASS_H

#include "policy/callout.h"

struct pass_grpc;
FN const struct field_table *pass_grpc_fields(void) UNUSED; /* for the manual's test */
/* NULL: faults say why. out: identity is set. */
FN struct pass_grpc *pass_grpc_compile(struct load *l, const struct field_in *in, const struct yaml *y,
                                       struct slice ns, struct step *out);
/* *unreachable: trouble of the kind that failureModeAllow of the step lets pass. */
FN enum step_said pass_grpc_run(struct decision *d, const struct step *s, bool *unreachable);
/* What a CheckResponse decides. Its bytes outlive the decision. */
FN enum step_said pass_grpc_answered(struct decision *d, const struct step *s, struct slice message);
/* tlsConfig of either kind; NULL: faults say why. */
FN const struct fetch_tls *pass_tls_compile(struct load *l, const struct field_in *in, const struct yaml *y,
                                            struct slice ns);
FN const struct json *pass_grpc_config(const struct step *s); /* of the step, or NULL */
FN const struct pass_grpc *pass_grpc_of(const struct step *s);

#endif
