// ringway.v1.SettingsService: reads a request, applies the rules, asks the store. It holds no state.
import Cache
import Contract
import GRPCCore
import Postgres
import ServiceKit

public struct SettingsHandler: Ringway_V1_SettingsService.SimpleServiceProtocol {
    private let store: SettingsStore
    private let audiences: AudienceCheck
    private let limits: ChangeLimits

    public init(
        postgres: PostgresClient, relations: Relations, limits: ChangeLimits = ChangeLimits(), cache: Cache = .off
    ) {
        store = SettingsStore(postgres: postgres, cache: cache)
        audiences = AudienceCheck(settings: store, relations: relations)
        self.limits = limits
    }

    public func getSettings(
        request: Ringway_V1_GetSettingsRequest, context: ServerContext
    ) async throws -> Ringway_V1_Settings {
        let caller = try Caller.required()
        guard request.sinceVersion >= 0 else { throw ProfileError.invalid("since_version", "must not be negative") }
        if request.sinceVersion == 0, let cached = try await store.cachedSettings(of: caller.userID) {
            return try cached.answer(in: context)
        }
        var settings = try await store.settings(of: caller.userID).value
        // The version may come from a node that changed them, of which this one's cache is still to hear.
        if request.sinceVersion > settings.version { settings = try await store.newestSettings(of: caller.userID) }
        guard request.sinceVersion <= settings.version else { throw ProfileError.aheadOfSettings(settings.version) }
        return settings.message(since: request.sinceVersion)
    }

    public func updateSettings(
        request: Ringway_V1_UpdateSettingsRequest, context: ServerContext
    ) async throws -> Ringway_V1_Settings {
        let caller = try Caller.required()
        let change = try SettingsChange(request)
        try await limits.take(for: caller)
        return try await store.update(change, of: caller.userID).message(since: 0)
    }

    /// For services: the viewer comes from the request, because no user calls it.
    public func checkAudience(
        request: Ringway_V1_CheckAudienceRequest, context: ServerContext
    ) async throws -> Ringway_V1_CheckAudienceResponse {
        guard let field = Int16(exactly: request.field.rawValue).flatMap(PrivacyField.init) else {
            throw ProfileError.invalid("field", "must be one of PrivacyField")
        }
        guard request.ownerIds.count <= Relations.ownersMax else {
            throw ProfileError.invalid("owner_ids", "must be at most \(Relations.ownersMax)")
        }
        let allowed = try await audiences.allowed(request.viewerID, field, of: request.ownerIds)
        return .with { $0.allowedIds = allowed }
    }
}
