// The routes of Auth: how one gets, renews and ends tokens. How a route is written: Routes.swift.
import Contract
import GRPCCore

func authRoutes<Transport>(_ auth: Ringway_V1_AuthService.Client<Transport>) -> [Route] {
    [
        Route(.post, "/v1/auth/register") { try await auth.register($0, metadata: $1, options: $2) },
        Route(.post, "/v1/auth/login") { try await auth.logIn($0, metadata: $1, options: $2) },
        Route(.post, "/v1/auth/refresh") { try await auth.refresh($0, metadata: $1, options: $2) },
        Route(.post, "/v1/auth/logout") { try await auth.logOut($0, metadata: $1, options: $2) },
    ]
}
