// What a client is told of this module's errors. Failures of the database are mapped by ServiceKit.
import GRPCCore

extension AuthError: RPCErrorConvertible {
    var rpcErrorCode: RPCError.Code {
        switch self {
        case .invalid: .invalidArgument
        case .usernameTaken, .emailTaken: .alreadyExists
        case .wrongPassword: .permissionDenied
        case .noSuchDevice: .notFound
        case .wrongCredentials, .refreshRefused, .accessRefused: .unauthenticated
        case .busy: .resourceExhausted
        case .hashingFailed: .internalError
        }
    }

    var rpcErrorMessage: String {
        switch self {
        case .invalid(let field, let rule): "\(field) \(rule)"
        case .usernameTaken: "the username is taken, or looks like one that is"
        case .emailTaken: "the e-mail address is taken"
        case .wrongPassword: "the password is wrong"
        case .noSuchDevice: "no such device"
        case .wrongCredentials: "unknown user or wrong password"
        case .refreshRefused: "the refresh token is not valid; log in again"
        case .accessRefused: "a valid access token is required"
        case .busy: "too many log-ins at once; try again later"
        case .hashingFailed: "internal error"
        }
    }

    /// retry-after-ms: how long to wait before trying again. field: which one is at fault.
    var rpcErrorMetadata: Metadata {
        switch self {
        case .busy(let delay): ["retry-after-ms": "\(Int64((delay / .milliseconds(1)).rounded(.up)))"]
        case .invalid(let field, _): ["field": "\(field)"]
        case .usernameTaken: ["field": "username"]
        case .emailTaken: ["field": "email"]
        case .wrongPassword: ["field": "password"]
        default: [:]
        }
    }
}
