// ringway.v1.ProfileService: reads a request, applies the rules, asks the store. It holds no state.
import Contract
import GRPCCore
import Postgres
import ServiceKit

public struct ProfileHandler: Ringway_V1_ProfileService.SimpleServiceProtocol {
    private let store: ProfileStore

    public init(postgres: PostgresClient) {
        store = ProfileStore(postgres: postgres)
    }

    public func getProfile(
        request: Ringway_V1_GetProfileRequest, context: ServerContext
    ) async throws -> Ringway_V1_Profile {
        try await store.profile(of: request.userID)
    }

    public func getMyProfile(
        request: Ringway_V1_GetMyProfileRequest, context: ServerContext
    ) async throws -> Ringway_V1_Profile {
        try await store.profile(of: Caller.required().userID)
    }

    public func updateMyProfile(
        request: Ringway_V1_UpdateMyProfileRequest, context: ServerContext
    ) async throws -> Ringway_V1_Profile {
        let caller = try Caller.required()
        let change = try ProfileChange(request)
        if change.isEmpty {
            let profile = try await store.profile(of: caller.userID)
            guard change.fits(version: profile.version) else { throw ProfileError.outdated }
            return profile
        }
        return try await store.update(change, of: caller.userID)
    }
}
