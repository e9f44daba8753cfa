-- What ends cached facts: every commit that changes one notifies all nodes on the channel ringway_cache, in the order of
-- the commits, as `topic:user:version` (Sources/Cache, docs/decisions/0012-cache.md). Triggers, so that no way of changing
-- a row can forget it. A version grows with every change of its row; what has ended for good has the highest, 2^53 - 1.

CREATE FUNCTION public.ringway_tell_caches(topic text, id bigint, version bigint) RETURNS void LANGUAGE sql AS $$
    SELECT pg_notify('ringway_cache', topic || ':' || id || ':' || version)
$$;

CREATE FUNCTION profile.tell_caches() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        PERFORM public.ringway_tell_caches(TG_ARGV[0], OLD.user_id, 9007199254740991);
    ELSIF TG_ARGV[0] = 'profile' THEN
        PERFORM public.ringway_tell_caches('profile', NEW.user_id, NEW.revision);
    ELSIF TG_ARGV[0] = 'settings' THEN
        PERFORM public.ringway_tell_caches('settings', NEW.user_id, NEW.version);
    ELSE
        PERFORM public.ringway_tell_caches(
            'last_seen', NEW.user_id, (extract(epoch FROM NEW.at) * 1000000)::bigint);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER profiles_tell_caches AFTER INSERT OR UPDATE OR DELETE ON profile.profiles
    FOR EACH ROW EXECUTE FUNCTION profile.tell_caches('profile');
CREATE TRIGGER settings_tell_caches AFTER INSERT OR UPDATE OR DELETE ON profile.settings
    FOR EACH ROW EXECUTE FUNCTION profile.tell_caches('settings');
CREATE TRIGGER last_seen_tell_caches AFTER INSERT OR UPDATE OR DELETE ON profile.last_seen
    FOR EACH ROW EXECUTE FUNCTION profile.tell_caches('last_seen');

-- Whatever changes in a user's lists raises the version of their row; a row's first appearance, at version 0, is no
-- change.
CREATE FUNCTION friendship.tell_caches() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        PERFORM public.ringway_tell_caches('lists', OLD.user_id, 9007199254740991);
    ELSE
        PERFORM public.ringway_tell_caches('lists', NEW.user_id, NEW.version);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER owners_inserted_tell_caches AFTER INSERT ON friendship.owners
    FOR EACH ROW WHEN (NEW.version > 0) EXECUTE FUNCTION friendship.tell_caches();
CREATE TRIGGER owners_updated_tell_caches AFTER UPDATE ON friendship.owners
    FOR EACH ROW WHEN (OLD.version <> NEW.version) EXECUTE FUNCTION friendship.tell_caches();
CREATE TRIGGER owners_deleted_tell_caches AFTER DELETE ON friendship.owners
    FOR EACH ROW EXECUTE FUNCTION friendship.tell_caches();
