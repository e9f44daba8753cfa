-- Devices that have ended are forgotten by a sweep, and what Inbox keeps of them with them.

CREATE INDEX devices_ended ON auth.devices (revoked_at) WHERE revoked_at IS NOT NULL;

-- Once, across the services: until now Auth forgot devices without telling Inbox.
DELETE FROM inbox.cursors AS cursor
WHERE NOT EXISTS (SELECT FROM auth.devices WHERE user_id = cursor.user_id AND id = cursor.device_id);
