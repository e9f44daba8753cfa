// The calls over HTTP: how each is made, and the log as pages. Accounts, profiles and friends have files of their own
// beside this one; together they are every method of the contract that a user may call. Each throws RingwayError. A token
// that is refused is replaced once, and the call repeated.
import Contract
import Foundation
import NIOHTTP1
import SwiftProtobuf

extension RingwayClient {
    /// A page of the log after since, oldest first; limit is 1 to 1000.
    public nonisolated func readInbox(since: Int64, limit: Int) async throws -> Ringway_V1_ReadInboxResponse {
        try await call(.GET, "/v1/inbox?since=\(since)&limit=\(limit)")
    }

    nonisolated func locateGateway() async throws -> String {
        let location: Ringway_V1_LocateGatewayResponse = try await call(.GET, "/v1/gateway")
        return location.url
    }

    nonisolated func call<Answer: Message>(
        _ method: HTTPMethod, _ path: String, body: (any Message)? = nil
    ) async throws -> Answer {
        try await call(method, path, content: try body.map(HTTPCaller.Body.init(json:)))
    }

    nonisolated func call<Answer: Message>(
        _ method: HTTPMethod, _ path: String, content: HTTPCaller.Body?
    ) async throws -> Answer {
        let token = try await tokens.token()
        do {
            return try await http.call(method, path, content: content, token: token)
        } catch let error as RingwayError where error.code == RingwayError.unauthenticated {
            return try await http.call(method, path, content: content, token: try await tokens.token(replacing: token))
        }
    }
}
