// How the services of an installation know each other over the network: a JWT (HS256) of a minute, signed with a secret
// that every node reads from a file and no client has. It names the method it was made for, so that one seen on the
// way opens nothing else.
import Crypto
import Foundation
import GRPCCore

public struct ServiceSecret: Sendable {
    private static let lifetime: Int64 = 60
    /// Clocks of one installation differ by less.
    private static let skew: Int64 = 30
    private static let header = Base64URL.encode(#"{"alg":"HS256","typ":"svc+jwt"}"#.utf8)
    private static let bytesMax = 1024

    private struct Claims: Codable {
        let iss: String
        let aud: String
        let iat: Int64
        let exp: Int64
    }

    private let key: SymmetricKey

    /// Nil below 32 bytes: a secret that can be guessed is none.
    public init?(_ text: String) {
        guard text.utf8.count >= 32 else { return nil }
        key = SymmetricKey(data: Array(text.utf8))
    }

    public func token(for method: String, now: Date = .now) -> String {
        let issuedAt = Int64(now.timeIntervalSince1970)
        let claims = Claims(iss: "ringway-service", aud: method, iat: issuedAt, exp: issuedAt + Self.lifetime)
        // Strings and integers always encode.
        let payload = Self.header + "." + Base64URL.encode((try? JSONEncoder().encode(claims)) ?? Data())
        let code = HMAC<SHA256>.authenticationCode(for: Data(payload.utf8), using: key)
        return payload + "." + Base64URL.encode(code)
    }

    public func isValid(_ token: String, for method: String, now: Date = .now) -> Bool {
        guard token.utf8.count <= Self.bytesMax else { return false }
        let parts = token.split(separator: ".", omittingEmptySubsequences: false)
        // The header has one spelling, so nobody chooses an algorithm.
        guard parts.count == 3, parts[0] == Self.header, let code = Base64URL.decode(parts[2].utf8),
            HMAC<SHA256>.isValidAuthenticationCode(
                code, authenticating: Data("\(parts[0]).\(parts[1])".utf8), using: key),
            let json = Base64URL.decode(parts[1].utf8), let claims = try? JSONDecoder().decode(Claims.self, from: Data(json))
        else { return false }
        let seconds = Int64(now.timeIntervalSince1970)
        return claims.iss == "ringway-service" && claims.aud == method && claims.exp > seconds
            && claims.iat <= seconds + Self.skew && claims.exp - claims.iat <= Self.lifetime
    }
}

/// Stands before every call to a remote service.
public struct ServiceCredentialsInterceptor: ClientInterceptor {
    public static let metadataKey = "ringway-service"

    private let secret: ServiceSecret

    public init(secret: ServiceSecret) {
        self.secret = secret
    }

    public func intercept<Input: Sendable, Output: Sendable>(
        request: StreamingClientRequest<Input>,
        context: ClientContext,
        next: (StreamingClientRequest<Input>, ClientContext) async throws -> StreamingClientResponse<Output>
    ) async throws -> StreamingClientResponse<Output> {
        var request = request
        request.metadata.replaceOrAddString(
            secret.token(for: context.descriptor.fullyQualifiedMethod), forKey: Self.metadataKey)
        return try await next(request, context)
    }
}
