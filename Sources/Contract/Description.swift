// What the .proto files say, as clients that have none are told: written by `make proto` beside the generated code.

/// A serialized google.protobuf.FileDescriptorSet: every file of the contract, of gRPC's health and reflection, and those
/// that they import.
public var contractDescription: [UInt8] { PackageResources.contract_binpb }
