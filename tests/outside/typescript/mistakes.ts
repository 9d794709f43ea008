// What must not type-check: each line with `mistake`, and no other.

import type { components, paths } from "./core_api";

type Answers = paths["/v1/accounts/{account_id}/issuers/{issuer_id}"]["patch"]["responses"];
type BodyOf<Answer> = Answer extends { content: { "application/json": infer Body } } ? Body : never;
type Failure = BodyOf<Answers[403 | 404 | 412]>;

export function advise(failure: Failure): string | undefined {
  if (failure.error === "not_fund") return undefined; // mistake
  if (failure.error === "conflict") return undefined; // mistake
  if (failure.error === "not_found") return failure.current_etag; // mistake
  if (failure.error === "precondition_failed") return failure.current_etag;
  if (failure.error === "access_denied") return failure.retry_after; // mistake
  return failure.current_etag; // mistake
}

export const code: components["schemas"]["NotFoundError"]["error"] = "conflict"; // mistake
