-- Every commit that ends a device tells all nodes, beside the event in its owner's log. Owned by the Auth module.

-- A trigger, so that no way of ending one can forget it. The log says the same to the user's devices, in its own order; a
-- socket that is behind would hear of it last.
CREATE FUNCTION auth.tell_ended_device() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('ringway_devices', OLD.user_id || ':' || OLD.id);
    RETURN NULL;
END
$$;
CREATE TRIGGER devices_tell_end AFTER UPDATE OF revoked_at ON auth.devices
    FOR EACH ROW WHEN (OLD.revoked_at IS NULL AND NEW.revoked_at IS NOT NULL) EXECUTE FUNCTION auth.tell_ended_device();
CREATE TRIGGER devices_tell_removal AFTER DELETE ON auth.devices
    FOR EACH ROW WHEN (OLD.revoked_at IS NULL) EXECUTE FUNCTION auth.tell_ended_device();
