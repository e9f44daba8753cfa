// The routes of Profile: one's own, and other users'. How a route is written: Routes.swift.
import Contract
import GRPCCore

func profileRoutes<Transport>(_ profiles: Ringway_V1_ProfileService.Client<Transport>) -> [Route] {
    [
        Route(.get, "/v1/profiles/me") { try await profiles.getMyProfile($0, metadata: $1, options: $2) },
        Route(.patch, "/v1/profiles/me") { try await profiles.updateMyProfile($0, metadata: $1, options: $2) },
        Route(.get, "/v1/profiles/{userId}", fill: { $0.userID = try $1.id("userId") }) {
            try await profiles.getProfile($0, metadata: $1, options: $2)
        },
    ]
}
