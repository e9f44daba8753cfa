// The routes of Profile: one's own, other users', and search. How a route is written: Routes.swift.
import Contract
import GRPCCore

func profileRoutes(_ profiles: some Ringway_V1_ProfileService.ClientProtocol) -> [Route] {
    [
        Route(.get, "/v1/profiles/me") { try await profiles.getMyProfile($0, metadata: $1, options: $2) },
        Route(.patch, "/v1/profiles/me") { try await profiles.updateMyProfile($0, metadata: $1, options: $2) },
        Route(.get, "/v1/profiles/{userId}", fill: { $0.userID = try $1.id("userId") }) {
            try await profiles.getProfile($0, metadata: $1, options: $2)
        },
        Route(.get, "/v1/profiles", fill: { $0.userIds = try $1.ids("ids") }) {
            try await profiles.getProfiles($0, metadata: $1, options: $2)
        },
        Route(
            .get, "/v1/profiles:search",
            fill: {
                $0.query = $1.text("query")
                $0.limit = try $1.count("limit")
                $0.cursor = $1.text("cursor")
            },
            call: { try await profiles.searchProfiles($0, metadata: $1, options: $2) }),
    ]
}
