// What a client's developer writes: the code in `error` says which members there are.

import type { components, paths } from "./core_api";

type Answers = paths["/v1/accounts/{account_id}/issuers/{issuer_id}"]["patch"]["responses"];
type BodyOf<Answer> = Answer extends { content: { "application/json": infer Body } } ? Body : never;
type Failure = BodyOf<Answers[400 | 401 | 403 | 404 | 409 | 412 | 415 | 429]>;

export function advise(failure: Failure): string {
  switch (failure.error) {
    case "invalid_request":
      return (failure.fields ?? []).map((field) => `${field.field}: ${field.message}`).join("\n");
    case "precondition_failed":
      return `It is ${failure.current_etag ?? "gone"} now.`;
    case "usage_limit_exceeded":
      return `Wait for ${(failure.retry_after ?? 1).toFixed()} seconds.`;
    case "session_expired":
    case "unauthorized_client":
      return "Sign in.";
    case "access_denied":
    case "insufficient_scope":
      return "Ask for access.";
    case "not_found":
    case "conflict":
    case "invalid_content_type":
      return failure.error_description;
    default:
      return everyCodeHasItsCase(failure);
  }
}

function everyCodeHasItsCase(failure: never): never {
  throw new Error(String(failure));
}

// Two codes of one status.
type Refusal = BodyOf<Answers[403]>;
const codes: Refusal["error"][] = ["access_denied", "insufficient_scope"];

// Any other error, and a code that the operation doesn't declare.
export const other: BodyOf<Answers["default"]> = {
  error: codes.join(),
  error_description: "It is so.",
  retryable: false,
};
export const quota: components["schemas"]["QuotaExhaustedError"]["error"] = "quota_exhausted";
