// What a client is told of this module's errors. Failures of the database are mapped by ServiceKit.
import GRPCCore

extension AuthError: RPCErrorConvertible {
    var rpcErrorCode: RPCError.Code {
        switch self {
        case .invalid: .invalidArgument
        case .usernameTaken: .alreadyExists
        case .wrongCredentials, .refreshRefused, .accessRefused: .unauthenticated
        case .busy: .resourceExhausted
        case .hashingFailed: .internalError
        }
    }

    var rpcErrorMessage: String {
        switch self {
        case .invalid(let violation): violation
        case .usernameTaken: "the username is taken"
        case .wrongCredentials: "unknown user or wrong password"
        case .refreshRefused: "the refresh token is not valid; log in again"
        case .accessRefused: "a valid access token is required"
        case .busy: "too many log-ins at once; try again later"
        case .hashingFailed: "internal error"
        }
    }

    /// retry-after-ms: how long to wait before trying again.
    var rpcErrorMetadata: Metadata {
        guard case .busy(let delay) = self else { return [:] }
        return ["retry-after-ms": "\(Int64((delay / .milliseconds(1)).rounded(.up)))"]
    }
}
