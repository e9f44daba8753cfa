-- Devices end with their last refresh token: a sweep looks for the current ones that have expired.

CREATE INDEX refresh_tokens_current_end ON auth.refresh_tokens (expires_at) WHERE rotated_at IS NULL;
