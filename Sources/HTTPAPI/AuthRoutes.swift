// The routes of Auth: accounts, tokens and devices. How a route is written: Routes.swift.
import Contract
import GRPCCore

func authRoutes(_ auth: some Ringway_V1_AuthService.ClientProtocol) -> [Route] {
    [
        Route(.post, "/v1/auth/register") { try await auth.register($0, metadata: $1, options: $2) },
        Route(.post, "/v1/auth/login") { try await auth.logIn($0, metadata: $1, options: $2) },
        Route(.post, "/v1/auth/refresh") { try await auth.refresh($0, metadata: $1, options: $2) },
        Route(.post, "/v1/auth/logout") { try await auth.logOut($0, metadata: $1, options: $2) },
        Route(.post, "/v1/auth/logout-others") { try await auth.logOutOthers($0, metadata: $1, options: $2) },
        Route(.post, "/v1/auth/password") { try await auth.changePassword($0, metadata: $1, options: $2) },
        // Less than the shortest delay of a rotation: who keeps it has a new key before that signs.
        Route(.get, "/.well-known/jwks.json", caching: "public, max-age=30") {
            try await auth.listKeys($0, metadata: $1, options: $2)
        },
    ] + deviceRoutes(auth) + accountRoutes(auth)
}

private func deviceRoutes(_ auth: some Ringway_V1_AuthService.ClientProtocol) -> [Route] {
    [
        Route(.get, "/v1/devices") { try await auth.listDevices($0, metadata: $1, options: $2) },
        Route(.patch, "/v1/devices/{deviceId}", fill: { $0.deviceID = try $1.id("deviceId") }) {
            try await auth.renameDevice($0, metadata: $1, options: $2)
        },
        Route(.delete, "/v1/devices/{deviceId}", fill: { $0.deviceID = try $1.id("deviceId") }) {
            try await auth.revokeDevice($0, metadata: $1, options: $2)
        },
    ]
}

private func accountRoutes(_ auth: some Ringway_V1_AuthService.ClientProtocol) -> [Route] {
    [
        Route(.get, "/v1/account") { try await auth.getAccount($0, metadata: $1, options: $2) },
        Route(.post, "/v1/account/email") { try await auth.changeEmail($0, metadata: $1, options: $2) },
        // A POST, because it takes a password, and a DELETE takes no body.
        Route(.post, "/v1/account:delete") { try await auth.deleteAccount($0, metadata: $1, options: $2) },
        Route(.get, "/v1/account/export", fill: { $0.since = try $1.count("since") }) {
            try await auth.exportData($0, metadata: $1, options: $2)
        },
    ]
}
